#[scope_runtime::test(every_await)]
async fn no_line_is_lost() {
    let (buffer, sent) = (Rc::new(Lines::new(vec!["a", "b", "c"])), Rc::new(Lines::default()));
    testing::finally({
        let (buffer, sent) = (buffer.clone(), sent.clone());
        move || assert_eq!(buffer.borrow().len() + sent.borrow().len(), 3)
    });
    while sent.borrow().len() < 3 {
        flush(&buffer, &sent).await;
    }
}
