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

#[cfg(test)]
mod tests {
    use std::env;

    use scope_runtime::{cancel_scope, spawn, testing};
    use tokio::sync::mpsc;

    use super::*;

    /// Senders of two pages, and the index that waits for them.
    #[cancel_scope]
    async fn index_of_two(path: PathBuf) -> io::Result<()> {
        let (pages, inbox) = mpsc::unbounded_channel();
        spawn!(write_index(path, inbox));
        for url in ["/a", "/b"] {
            tokio::task::yield_now().await;
            let _ = pages.send(Entry { url: url.to_owned(), bytes: 7 });
        }
        Ok(())
    }

    #[scope_runtime::test(every_await)]
    async fn an_index_is_whole_or_not_there() -> io::Result<()> {
        let path = env::temp_dir().join(format!("tour-index-{}", process::id()));
        testing::finally({
            let path = path.clone();
            move || {
                if let Ok(text) = std::fs::read_to_string(&path) {
                    let (lines, last) = (text.lines().count() - 1, text.lines().last().unwrap_or_default());
                    assert_eq!(last, format!("{lines:>8} pages in all"), "torn: {text}");
                }
                assert!(!path.with_extension(format!("{}.partial", process::id())).exists());
                let _ = std::fs::remove_file(path);
            }
        });
        index_of_two(path).await
    }
}
