async fn flush(buffer: &Lines, sent: &Lines) {
    let mut batch = buffer.take();
    let accepted = send(&batch).await;
    sent.borrow_mut().extend(batch.drain(..accepted));
    buffer.borrow_mut().append(&mut batch); // what was not accepted goes back
}
