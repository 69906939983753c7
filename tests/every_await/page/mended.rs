async fn flush(buffer: &Lines, sent: &Lines) {
    let batch = buffer.borrow().clone();
    let accepted = send(&batch).await;
    sent.borrow_mut().extend(buffer.borrow_mut().drain(..accepted)); // from one to the other, without an await
}
