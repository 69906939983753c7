//! The index file of a crawl: one line per page that was fetched, whole or not there at all.

use std::io;
use std::path::PathBuf;
use std::process;

use scope_runtime::shield;
use tokio::fs::{self, File};
use tokio::io::AsyncWriteExt;
use tokio::sync::mpsc::UnboundedReceiver;

/// A line of the index.
pub(crate) struct Entry {
    pub(crate) url: String,
    pub(crate) bytes: usize,
}

/// Writes the index, and says how many entries it has.
///
/// It ends when the last sender is gone, that is, when no page can come any more. All of it stands in a shield: the
/// crawl's deadline cuts the pages, but not this, so the file gets its end and its name even then.
///
/// # Cancellation safety
///
/// Dropping the future leaves at most a file called `….partial`.
pub(crate) async fn write_index(path: PathBuf, mut entries: UnboundedReceiver<Entry>) -> io::Result<usize> {
    let written = shield!({
        let partial = path.with_extension(format!("{}.partial", process::id()));
        let mut file = File::create(&partial).await?;
        let mut count = 0;
        while let Some(Entry { url, bytes }) = entries.recv().await {
            file.write_all(format!("{bytes:>8} {url}\n").as_bytes()).await?;
            count += 1;
        }
        file.write_all(format!("{count:>8} pages in all\n").as_bytes()).await?;
        file.sync_all().await?;
        fs::rename(&partial, &path).await?;
        count
    });
    Ok(written)
}
