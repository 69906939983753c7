//! `#[cancel_scope]` on functions of every shape, beside other attributes, with every kind of return type.

use std::error::Error;
use std::fmt::{Debug, Display};
use std::future::{Future, pending};
use std::io;
use std::num::ParseIntError;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use scope_runtime::{Cancelled, Cause, cancel_scope, current, remaining, scope, shield, spawn};
use scope_tests::probe::{Log, ms, sleep};
use tokio::time::Instant;

extern crate scope_runtime as renamed_crate;

type BoxError = Box<dyn Error + Send + Sync>;
type Boxed<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

fn assert_send<T: Send>(value: T) -> T {
    value
}

/// What a future gives, and after how many virtual milliseconds.
async fn timed<F: Future>(future: F) -> (F::Output, u128) {
    let start = Instant::now();
    let output = future.await;
    (output, start.elapsed().as_millis())
}

/// An error that came from a deadline of the scope of this name.
#[track_caller]
fn assert_timeout_of(name: &str, cancelled: &Cancelled) {
    assert_eq!(cancelled.scope_name(), name);
    assert!(cancelled.is_timeout(), "{cancelled}");
}

// --- Functions --------------------------------------------------------------------------------------------------

#[tokio::test(start_paused = true)]
async fn an_async_function_is_cut_at_its_timeout() {
    #[cancel_scope(timeout = 30ms)]
    async fn fetch(takes: u64) -> Result<u64, Cancelled> {
        sleep(takes).await;
        Ok(takes)
    }
    let (value, after) = timed(fetch(29)).await;
    assert_eq!((value.unwrap(), after), (29, 29));
    let (cut, after) = timed(fetch(1000)).await;
    assert_timeout_of("fetch", &cut.unwrap_err());
    assert_eq!(after, 30);
}

#[tokio::test(start_paused = true)]
async fn a_function_without_options_is_a_scope_too() {
    #[cancel_scope]
    async fn plain() -> Result<(), Cancelled> {
        assert_eq!(remaining(), None);
        current().cancel();
        pending().await
    }
    let cancelled = plain().await.unwrap_err();
    assert_eq!(cancelled.scope_name(), "plain");
    assert!(matches!(cancelled.cause(), Cause::Explicit { .. }));
}

#[tokio::test(start_paused = true)]
async fn an_empty_function_is_served() {
    #[cancel_scope(timeout = 1s)]
    async fn empty() {}
    assert_eq!(timed(empty()).await, ((), 0));
}

#[tokio::test(start_paused = true)]
async fn a_function_that_never_returns_is_cut() {
    #[cancel_scope(timeout = 50ms)]
    async fn serve(log: &Log) -> io::Result<()> {
        loop {
            sleep(20).await;
            log.say("tick");
        }
    }
    let log = Log::new();
    assert_eq!(serve(&log).await.unwrap_err().kind(), io::ErrorKind::TimedOut);
    log.say("left");
    log.expect(&["20 tick", "40 tick", "50 left"]);
}

#[tokio::test(start_paused = true)]
async fn parameters_may_be_patterns_and_mutable() {
    #[cancel_scope(timeout = 10ms)]
    async fn add((a, mut b): (u32, u32), [c, ..]: [u32; 2], mut d: u32) -> Result<u32, Cancelled> {
        b += 1;
        d += 1;
        sleep(1).await;
        Ok(a + b + c + d)
    }
    assert_eq!(add((1, 2), [3, 0], 4).await.unwrap(), 12);
}

#[tokio::test(start_paused = true)]
async fn options_see_the_parameters_and_are_evaluated_in_the_order_written_at_entry() {
    #[cancel_scope(
        name = { log.say("name"); format!("job {number}") },
        timeout = { log.say("timeout"); ms(number) },
        shield = { log.say("shield"); false }
    )]
    async fn job(log: &Log, number: u64) -> Result<(), Cancelled> {
        log.say("body");
        pending().await
    }
    let log = Log::new();
    let future = job(&log, 40);
    sleep(5).await;
    assert_timeout_of("job 40", &future.await.unwrap_err());
    log.say("left");
    log.expect(&["5 name", "5 timeout", "5 shield", "5 body", "45 left"]);
}

#[tokio::test(start_paused = true)]
async fn a_parameter_that_the_body_takes_is_dropped_with_the_body() {
    #[cancel_scope(timeout = 10ms, fallback = { log.say("fallback"); })]
    async fn take(log: Log, guard: scope_tests::probe::Guard) {
        let _guard = guard;
        pending().await
    }
    let log = Log::new();
    take(log.clone(), log.guard("guard dropped")).await;
    log.expect(&["10 guard dropped", "10 fallback"]);
}

#[tokio::test(start_paused = true)]
async fn a_function_names_its_scope_and_spawns_into_it() {
    #[cancel_scope(timeout = 1s, scope = s)]
    async fn both(log: &Log) -> Result<u32, Cancelled> {
        let (one, two) = (log.clone(), log.clone());
        let first = spawn!(in s, async move { sleep(30).await; one.say("one"); 1 });
        let second = spawn!(async move {
            sleep(20).await;
            two.say("two");
            2
        });
        assert_eq!(s.name(), "both");
        Ok(first.await? + second.await?)
    }
    let log = Log::new();
    assert_eq!(both(&log).await.unwrap(), 3);
    log.expect(&["20 two", "30 one"]);
}

// --- Generics, lifetimes, `impl Trait` ----------------------------------------------------------------------------

#[tokio::test(start_paused = true)]
async fn generics_constants_and_where_clauses_are_kept() {
    #[cancel_scope(timeout = limit)]
    async fn repeat<T, const N: usize>(value: T, limit: Duration) -> Result<[T; N], Cancelled>
    where
        T: Clone + Send + 'static,
    {
        let copy = value.clone();
        let child = spawn!(async move {
            sleep(20).await;
            copy
        });
        let value = child.await?;
        Ok(std::array::from_fn(|_| value.clone()))
    }
    assert_eq!(assert_send(repeat::<_, 3>("x", ms(30))).await.unwrap(), ["x"; 3]);
    let (cut, after) = timed(repeat::<_, 3>(String::new(), ms(10))).await;
    assert_timeout_of("repeat", &cut.unwrap_err());
    assert_eq!(after, 10);
}

#[tokio::test(start_paused = true)]
async fn named_lifetimes_and_borrowed_returns_are_kept() {
    #[cancel_scope(timeout = 10ms, fallback = b)]
    async fn longest<'a>(a: &'a str, b: &'a str, takes: u64) -> &'a str {
        sleep(takes).await;
        if a.len() > b.len() {
            return a;
        }
        b
    }
    assert_eq!(assert_send(longest("long", "x", 5)).await, "long");
    assert_eq!(longest("long", "x", 50).await, "x");
}

#[tokio::test(start_paused = true)]
async fn a_mutable_borrow_goes_in_and_comes_back() {
    #[cancel_scope(timeout = 10ms)]
    async fn last(list: &mut Vec<u32>) -> Result<&mut u32, Cancelled> {
        sleep(1).await;
        list.push(7);
        let index = list.len() - 1;
        Ok(&mut list[index])
    }
    let mut list = vec![1];
    *last(&mut list).await.unwrap() += 1;
    assert_eq!(list, [1, 8]);
}

#[tokio::test(start_paused = true)]
async fn impl_trait_stands_in_arguments_and_in_the_return_type() {
    #[cancel_scope(timeout = 10ms, fallback = vec![0].into_iter())]
    async fn doubled(numbers: impl IntoIterator<Item = u32>, takes: u64) -> impl Iterator<Item = u32> {
        let doubled: Vec<u32> = numbers.into_iter().map(|n| n * 2).collect();
        sleep(takes).await;
        doubled.into_iter()
    }
    #[cancel_scope(timeout = 10ms)]
    async fn shown(value: &impl Display) -> Result<impl Debug, Cancelled> {
        sleep(1).await;
        Ok(value.to_string())
    }
    assert_eq!(doubled([1, 2], 5).await.collect::<Vec<_>>(), [2, 4]);
    assert_eq!(doubled([1, 2], 50).await.collect::<Vec<_>>(), [0]);
    assert_eq!(format!("{:?}", shown(&5).await.unwrap()), "\"5\"");
}

#[tokio::test(start_paused = true)]
async fn a_value_is_coerced_to_the_return_type_as_in_any_function() {
    #[cancel_scope(timeout = 10ms, fallback = Box::new("late"))]
    async fn boxed(takes: u64) -> Box<dyn Debug + Send> {
        sleep(takes).await;
        Box::new(5)
    }
    assert_eq!(format!("{:?}", boxed(1).await), "5");
    assert_eq!(format!("{:?}", boxed(100).await), "\"late\"");
}

// --- Methods ----------------------------------------------------------------------------------------------------

struct Conn {
    rows: Vec<u32>,
    limit: Duration,
    takes: u64,
}

impl Conn {
    fn new(takes: u64) -> Self {
        Self { rows: vec![1, 2], limit: ms(25), takes }
    }

    #[cancel_scope(timeout = self.limit)]
    async fn into_rows(self) -> Result<Vec<u32>, Cancelled> {
        sleep(self.takes).await;
        Ok(self.rows)
    }

    #[cancel_scope(timeout = self.limit)]
    async fn count(&self) -> Result<usize, Cancelled> {
        sleep(self.takes).await;
        Ok(self.rows.len())
    }

    #[cancel_scope(timeout = self.limit)]
    async fn push(&mut self, row: u32) -> Result<(), Cancelled> {
        self.rows.push(row);
        sleep(self.takes).await;
        self.rows.push(row);
        Ok(())
    }

    #[cancel_scope(timeout = self.limit)]
    async fn first(&mut self) -> Result<&mut u32, Cancelled> {
        sleep(self.takes).await;
        Ok(&mut self.rows[0])
    }

    #[cancel_scope(timeout = self.limit)]
    async fn sum_apart(self: Arc<Self>) -> Result<u32, Cancelled> {
        let this = Arc::clone(&self);
        let sum = spawn!(async move {
            sleep(this.takes).await;
            this.rows.iter().sum::<u32>()
        });
        sum.await
    }

    #[cancel_scope(timeout = self.limit, fallback = self.rows[1])]
    async fn first_or_second(&self) -> u32 {
        sleep(self.takes).await;
        self.rows[0]
    }

    #[cancel_scope(timeout = 25ms)]
    async fn open(takes: u64) -> Result<Self, Cancelled> {
        sleep(takes).await;
        Ok(Self::new(takes))
    }
}

#[tokio::test(start_paused = true)]
async fn a_method_by_value_is_served() {
    assert_eq!(Conn::new(10).into_rows().await.unwrap(), [1, 2]);
    let (cut, after) = timed(assert_send(Conn::new(100).into_rows())).await;
    assert_timeout_of("into_rows", &cut.unwrap_err());
    assert_eq!(after, 25);
}

#[tokio::test(start_paused = true)]
async fn a_method_by_reference_is_served() {
    let (count, after) = timed(assert_send(Conn::new(10).count())).await;
    assert_eq!((count.unwrap(), after), (2, 10));
    let (cut, after) = timed(Conn::new(100).count()).await;
    assert_timeout_of("count", &cut.unwrap_err());
    assert_eq!(after, 25);
}

#[tokio::test(start_paused = true)]
async fn a_method_by_mutable_reference_is_served_and_what_it_did_before_the_cut_stays_done() {
    let mut conn = Conn::new(10);
    assert_send(conn.push(3)).await.unwrap();
    assert_eq!(conn.rows, [1, 2, 3, 3]);
    conn.takes = 100;
    let (cut, after) = timed(conn.push(4)).await;
    assert_timeout_of("push", &cut.unwrap_err());
    assert_eq!((after, conn.rows.as_slice()), (25, &[1, 2, 3, 3, 4][..]));
}

#[tokio::test(start_paused = true)]
async fn a_method_lends_out_of_itself() {
    let mut conn = Conn::new(10);
    *assert_send(conn.first()).await.unwrap() = 9;
    assert_eq!(conn.rows, [9, 2]);
    conn.takes = 100;
    assert_timeout_of("first", &conn.first().await.unwrap_err());
}

#[tokio::test(start_paused = true)]
async fn a_method_of_a_shared_self_is_served() {
    assert_eq!(assert_send(Arc::new(Conn::new(10)).sum_apart()).await.unwrap(), 3);
    let conn = Arc::new(Conn::new(100));
    let (cut, after) = timed(Arc::clone(&conn).sum_apart()).await;
    assert_timeout_of("sum_apart", &cut.unwrap_err());
    assert_eq!(after, 25);
    assert_eq!(Arc::strong_count(&conn), 1, "the child is gone when its scope has been left");
}

#[tokio::test(start_paused = true)]
async fn a_fallback_may_mention_self() {
    assert_eq!(Conn::new(10).first_or_second().await, 1);
    assert_eq!(timed(Conn::new(100).first_or_second()).await, (2, 25));
}

#[tokio::test(start_paused = true)]
async fn an_associated_function_is_served() {
    assert_eq!(Conn::open(10).await.unwrap().takes, 10);
    assert_timeout_of("open", &Conn::open(100).await.err().unwrap());
}

// --- Traits -----------------------------------------------------------------------------------------------------

trait Fetch {
    async fn fetch(&self, takes: u64) -> io::Result<u64>;

    #[cancel_scope(timeout = 40ms)]
    async fn fetch_twice(&self, takes: u64) -> io::Result<u64> {
        Ok(self.fetch(takes).await? + self.fetch(takes).await?)
    }

    fn fetch_sent(&self, takes: u64) -> impl Future<Output = io::Result<u64>> + Send;
}

impl Fetch for Conn {
    #[cancel_scope(timeout = self.limit)]
    async fn fetch(&self, takes: u64) -> io::Result<u64> {
        sleep(takes).await;
        Ok(takes)
    }

    #[cancel_scope(timeout = self.limit)]
    async fn fetch_sent(&self, takes: u64) -> io::Result<u64> {
        sleep(takes).await;
        Ok(takes)
    }
}

#[tokio::test(start_paused = true)]
async fn methods_of_a_trait_impl_are_served() {
    let conn = Conn::new(0);
    assert_eq!(conn.fetch(20).await.unwrap(), 20);
    let (cut, after) = timed(conn.fetch(100)).await;
    assert_eq!((cut.unwrap_err().kind(), after), (io::ErrorKind::TimedOut, 25));
}

#[tokio::test(start_paused = true)]
async fn a_default_method_of_a_trait_is_served() {
    let conn = Conn::new(0);
    assert_eq!(conn.fetch_twice(15).await.unwrap(), 30);
    let (cut, after) = timed(conn.fetch_twice(24)).await;
    assert_eq!((cut.unwrap_err().kind(), after), (io::ErrorKind::TimedOut, 40));
}

#[tokio::test(start_paused = true)]
async fn an_async_fn_that_implements_a_send_future_of_a_trait_is_served() {
    let (cut, after) = timed(assert_send(Conn::new(0).fetch_sent(100))).await;
    assert_eq!((cut.unwrap_err().kind(), after), (io::ErrorKind::TimedOut, 25));
}

// --- `#[async_trait]` -------------------------------------------------------------------------------------------

#[async_trait::async_trait]
trait Store: Send + Sync {
    async fn get(&self, key: &str) -> Result<u32, BoxError>;

    async fn put(&mut self, rows: Vec<u32>);

    async fn lend(&mut self) -> Option<&mut u32>;

    #[cancel_scope(timeout = 40ms)]
    async fn get_twice(&self, key: &str) -> Result<u32, BoxError> {
        let ten = spawn!(async { Ok::<_, io::Error>(10) });
        Ok(self.get(key).await? + self.get(key).await? + ten.await?)
    }
}

#[async_trait::async_trait]
impl Store for Conn {
    #[cancel_scope(timeout = self.limit)]
    async fn get(&self, key: &str) -> Result<u32, BoxError> {
        let key: usize = key.parse()?;
        sleep(self.takes).await;
        self.rows.get(key).copied().ok_or_else(|| "no such row".into())
    }

    #[cancel_scope(timeout = 25ms)]
    async fn put(&mut self, rows: Vec<u32>) {
        self.rows = rows;
        sleep(self.takes).await;
        self.rows.clear();
    }

    #[cancel_scope(timeout = self.limit, fallback = None)]
    async fn lend(&mut self) -> Option<&mut u32> {
        sleep(self.takes).await;
        self.rows.first_mut()
    }
}

/// The attribute sees what `#[async_trait]` made of the method: it stands inside, so it is expanded later. The other
/// order does not exist: `#[cancel_scope]` above `#[async_trait]` stands on the `impl`, and says where to go
/// (`ui/cancel_scope/impl_block.rs`).
#[tokio::test(start_paused = true)]
async fn async_trait_around_the_attribute_keeps_the_timeout() {
    let conn: Box<dyn Store> = Box::new(Conn::new(10));
    assert_eq!(conn.get("1").await.unwrap(), 2);
    assert_eq!(conn.get("5").await.unwrap_err().to_string(), "no such row");
    assert!(conn.get("x").await.unwrap_err().is::<ParseIntError>());

    let mut conn: Box<dyn Store> = Box::new(Conn::new(100));
    let (cut, after) = timed(conn.get("1")).await;
    assert_timeout_of("get", cut.unwrap_err().downcast_ref().unwrap());
    assert_eq!(after, 25);
    assert_eq!(timed(conn.put(vec![7])).await, ((), 25));
    assert_eq!(timed(conn.lend()).await, (None, 25));
}

#[tokio::test(start_paused = true)]
async fn async_trait_around_a_default_method_keeps_the_timeout() {
    let conn: Box<dyn Store> = Box::new(Conn::new(10));
    assert_eq!(conn.get_twice("0").await.unwrap(), 12);
    let conn: Box<dyn Store> = Box::new(Conn::new(24));
    let (cut, after) = timed(conn.get_twice("0")).await;
    assert_timeout_of("get_twice", cut.unwrap_err().downcast_ref().unwrap());
    assert_eq!(after, 40);
}

/// The only way to have the scope made first: an annotated function, called by the method.
#[tokio::test(start_paused = true)]
async fn async_trait_around_a_call_of_an_annotated_function_keeps_the_timeout() {
    struct Apart;

    impl Apart {
        #[cancel_scope(timeout = 25ms)]
        async fn read(&self) -> Result<u32, BoxError> {
            pending().await
        }
    }

    #[async_trait::async_trait]
    impl Store for Apart {
        async fn get(&self, _: &str) -> Result<u32, BoxError> {
            self.read().await
        }

        async fn put(&mut self, _: Vec<u32>) {}

        async fn lend(&mut self) -> Option<&mut u32> {
            None
        }
    }
    let (cut, after) = timed(Apart.get("")).await;
    assert_timeout_of("read", cut.unwrap_err().downcast_ref().unwrap());
    assert_eq!(after, 25);
}

#[tokio::test(start_paused = true)]
async fn async_trait_without_send_takes_futures_that_are_not_send() {
    #[async_trait::async_trait(?Send)]
    trait Local {
        async fn count(&self) -> Result<usize, Cancelled>;
    }

    #[async_trait::async_trait(?Send)]
    impl Local for Rc<u32> {
        #[cancel_scope(timeout = 10ms)]
        async fn count(&self) -> Result<usize, Cancelled> {
            let other = Rc::clone(self);
            sleep(u64::from(*other)).await;
            Ok(Rc::strong_count(self))
        }
    }
    assert_eq!(Rc::new(5).count().await.unwrap(), 2);
    let (cut, after) = timed(Rc::new(50).count()).await;
    assert_timeout_of("count", &cut.unwrap_err());
    assert_eq!(after, 10);
}

// --- `#[tokio::main]`, `#[tokio::test]` ---------------------------------------------------------------------------

#[test]
fn tokio_main_above_the_attribute_keeps_the_timeout() {
    #[tokio::main(flavor = "current_thread", start_paused = true)]
    #[cancel_scope(timeout = 30ms)]
    async fn entry(log: &mut Option<Log>) -> Result<(), BoxError> {
        let log = log.insert(Log::new());
        let _end = log.guard("body gone");
        sleep(1000).await;
        Ok(())
    }
    let mut log = None;
    assert_timeout_of("entry", entry(&mut log).unwrap_err().downcast_ref().unwrap());
    log.unwrap().expect(&["30 body gone"]);
}

#[test]
fn tokio_main_below_the_attribute_keeps_the_timeout() {
    #[cancel_scope(timeout = 30ms)]
    #[tokio::main(flavor = "current_thread", start_paused = true)]
    async fn entry(log: &mut Option<Log>) -> Result<(), BoxError> {
        let log = log.insert(Log::new());
        let _end = log.guard("body gone");
        sleep(1000).await;
        Ok(())
    }
    let mut log = None;
    assert_timeout_of("entry", entry(&mut log).unwrap_err().downcast_ref().unwrap());
    log.unwrap().expect(&["30 body gone"]);
}

/// Nothing in such a body says what it returns.
#[test]
fn tokio_main_around_a_body_without_an_end_keeps_the_timeout() {
    #[tokio::main(flavor = "current_thread", start_paused = true)]
    #[cancel_scope(timeout = 30ms)]
    async fn above(log: &mut Option<Log>) {
        let log = log.insert(Log::new());
        loop {
            sleep(20).await;
            log.say("tick");
        }
    }
    #[cancel_scope(timeout = 30ms)]
    #[tokio::main(flavor = "current_thread", start_paused = true)]
    async fn below(log: &mut Option<Log>) {
        let log = log.insert(Log::new());
        loop {
            sleep(20).await;
            log.say("tick");
        }
    }
    let mut log = None;
    above(&mut log);
    log.take().unwrap().expect(&["20 tick"]);
    below(&mut log);
    log.unwrap().expect(&["20 tick"]);
}

#[test]
fn tokio_main_on_several_threads_keeps_the_timeout_and_spawns() {
    #[cancel_scope(timeout = 5ms)]
    #[tokio::main]
    async fn below() -> Result<(), BoxError> {
        let one = spawn!(async { 1 });
        assert_eq!(one.await?, 1);
        pending().await
    }
    #[tokio::main(worker_threads = 2)]
    #[cancel_scope(timeout = 5ms)]
    async fn above() -> Result<(), BoxError> {
        let one = spawn!(async { 1 });
        assert_eq!(one.await?, 1);
        pending().await
    }
    assert_timeout_of("below", below().unwrap_err().downcast_ref().unwrap());
    assert_timeout_of("above", above().unwrap_err().downcast_ref().unwrap());
}

#[tokio::test(start_paused = true)]
#[cancel_scope(timeout = 1s)]
async fn tokio_test_above_the_attribute_opens_the_scope() {
    assert_eq!(current().name(), "tokio_test_above_the_attribute_opens_the_scope");
    assert_eq!(remaining(), Some(ms(1000)));
    let child = spawn!(async { remaining() });
    assert_eq!(child.await.unwrap(), Some(ms(1000)));
}

#[cancel_scope(timeout = 1s)]
#[tokio::test(start_paused = true)]
async fn tokio_test_below_the_attribute_opens_the_scope() {
    assert_eq!(current().name(), "tokio_test_below_the_attribute_opens_the_scope");
    assert_eq!(remaining(), Some(ms(1000)));
    let child = spawn!(async { remaining() });
    assert_eq!(child.await.unwrap(), Some(ms(1000)));
}

#[tokio::test(start_paused = true)]
#[cancel_scope(timeout = 30ms, fallback = |cancelled| assert!(cancelled.is_timeout()))]
async fn tokio_test_above_the_attribute_keeps_the_timeout() {
    sleep(29).await;
    let start = Instant::now();
    let _end = scope_runtime::guard((), move |()| async move { assert_eq!(start.elapsed(), ms(1)) });
    sleep(1000).await;
    unreachable!("it is cut at 30 ms");
}

#[cancel_scope(timeout = 30ms, fallback = |cancelled| assert!(cancelled.is_timeout()))]
#[tokio::test(start_paused = true)]
async fn tokio_test_below_the_attribute_keeps_the_timeout() {
    sleep(29).await;
    let start = Instant::now();
    let _end = scope_runtime::guard((), move |()| async move { assert_eq!(start.elapsed(), ms(1)) });
    sleep(1000).await;
    unreachable!("it is cut at 30 ms");
}

#[tokio::test(start_paused = true)]
#[cancel_scope(timeout = 1s)]
async fn tokio_test_above_the_attribute_may_return_a_result() -> Result<(), BoxError> {
    let seven: u32 = "7".parse()?;
    assert_eq!(seven, 7);
    Ok(())
}

#[cancel_scope(timeout = 1s)]
#[tokio::test(start_paused = true)]
async fn tokio_test_below_the_attribute_may_return_a_result() -> Result<(), BoxError> {
    let seven: u32 = "7".parse()?;
    assert_eq!(seven, 7);
    Ok(())
}

// --- `#[tracing::instrument]` -----------------------------------------------------------------------------------

#[tokio::test(start_paused = true)]
async fn instrument_above_the_attribute_keeps_the_timeout() {
    #[tracing::instrument(skip_all, fields(takes), ret, err)]
    #[cancel_scope(timeout = 30ms)]
    async fn traced(takes: u64) -> Result<u64, BoxError> {
        let child = spawn!(async move {
            sleep(takes).await;
            takes
        });
        Ok(child.await?)
    }
    assert_eq!(assert_send(traced(20)).await.unwrap(), 20);
    let (cut, after) = timed(traced(100)).await;
    assert_timeout_of("traced", cut.unwrap_err().downcast_ref().unwrap());
    assert_eq!(after, 30);
}

#[tokio::test(start_paused = true)]
async fn instrument_below_the_attribute_keeps_the_timeout() {
    #[cancel_scope(timeout = 30ms)]
    #[tracing::instrument(skip_all, fields(takes), err)]
    async fn traced(takes: u64) -> Result<u64, BoxError> {
        let child = spawn!(async move {
            sleep(takes).await;
            takes
        });
        Ok(child.await?)
    }
    assert_eq!(assert_send(traced(20)).await.unwrap(), 20);
    let (cut, after) = timed(traced(100)).await;
    assert_timeout_of("traced", cut.unwrap_err().downcast_ref().unwrap());
    assert_eq!(after, 30);
}

// --- Boxed futures and recursion --------------------------------------------------------------------------------

#[tokio::test(start_paused = true)]
async fn boxed_recursion_written_by_hand_is_a_scope_per_call() {
    #[cancel_scope(timeout = ms(10) * (depth + 1), name = format!("level {depth}"))]
    fn climb(depth: u32, log: Log) -> Boxed<'static, Result<u32, Cancelled>> {
        Box::pin(async move {
            assert_eq!(remaining(), Some(ms(u64::from(depth + 1) * 10)));
            if depth == 0 {
                let _end = log.guard("body gone");
                return pending().await;
            }
            climb(depth - 1, log).await
        })
    }
    let log = Log::new();
    assert_timeout_of("level 0", &assert_send(climb(3, log.clone())).await.unwrap_err());
    log.expect(&["10 body gone"]);
}

#[tokio::test(start_paused = true)]
async fn boxed_recursion_spawns_and_uses_the_question_mark() {
    #[cancel_scope(timeout = 1s)]
    fn sum(n: u32) -> Boxed<'static, Result<u32, BoxError>> {
        Box::pin(async move {
            if n == 0 {
                return "0".parse::<u32>().map_err(Into::into);
            }
            let mine = spawn!(async move {
                sleep(10).await;
                n
            });
            Ok(sum(n - 1).await? + mine.await?)
        })
    }
    let (total, after) = timed(sum(4)).await;
    assert_eq!((total.unwrap(), after), (10, 10));
}

/// Nothing in such a body says what it returns, and the alias hides it from the attribute.
#[tokio::test(start_paused = true)]
async fn a_boxed_future_without_an_end_is_cut() {
    type Job<'a, E> = Pin<Box<dyn Future<Output = Result<(), E>> + Send + 'a>>;

    #[cancel_scope(timeout = 30ms)]
    fn serve(log: &Log) -> Job<'_, BoxError> {
        Box::pin(async move {
            loop {
                sleep(20).await;
                log.say("tick");
            }
        })
    }
    let log = Log::new();
    assert_timeout_of("serve", serve(&log).await.unwrap_err().downcast_ref().unwrap());
    log.say("left");
    log.expect(&["20 tick", "30 left"]);
}

#[tokio::test(start_paused = true)]
async fn a_boxed_future_may_borrow() {
    #[cancel_scope(timeout = 10ms, fallback = None)]
    fn find<'a>(rows: &'a [u32], row: u32) -> Boxed<'a, Option<&'a u32>> {
        Box::pin(async move {
            sleep(u64::from(row)).await;
            rows.iter().find(|&&found| found == row)
        })
    }
    assert_eq!(find(&[1, 2], 2).await, Some(&2));
    assert_eq!(timed(find(&[1, 20], 20)).await, (None, 10));
}

#[tokio::test(start_paused = true)]
async fn an_async_function_calls_itself_through_a_box() {
    #[cancel_scope(timeout = 50ms)]
    async fn count(n: u64) -> Result<u64, Cancelled> {
        if n == 0 {
            return Ok(0);
        }
        sleep(10).await;
        Ok(1 + Box::pin(count(n - 1)).await?)
    }
    assert_eq!(timed(count(4)).await.1, 40);
    let (cut, after) = timed(count(9)).await;
    assert_timeout_of("count", &cut.unwrap_err());
    assert_eq!(after, 50);
}

// --- Renamed crates ---------------------------------------------------------------------------------------------

mod facade {
    pub(crate) mod inner {
        pub(crate) use scope_runtime as renamed;
    }
}

#[tokio::test(start_paused = true)]
async fn the_runtime_may_be_reached_by_a_path() {
    use facade::inner::renamed;

    #[renamed::cancel_scope(timeout = 10ms, crate = crate::shapes::facade::inner::renamed)]
    async fn by_path() -> Result<(), renamed::Cancelled> {
        let child = renamed::spawn!(async { 1 });
        let one = renamed::scope!(timeout = 5ms, |s| {
            renamed::shield!({ renamed::spawn!(in s, async { 1 }).await? })
        })?;
        assert_eq!(child.await?, one);
        pending().await
    }
    let (cut, after) = timed(by_path()).await;
    assert_timeout_of("by_path", &cut.unwrap_err());
    assert_eq!(after, 10);
}

#[tokio::test(start_paused = true)]
async fn the_runtime_may_be_an_extern_crate_of_another_name() {
    #[renamed_crate::cancel_scope(timeout = 10ms, crate = crate::shapes::renamed_crate)]
    async fn renamed() -> Result<(), renamed_crate::Cancelled> {
        let child = renamed_crate::spawn!(async { 1 });
        assert_eq!(renamed_crate::scope!({ child.await? })?, 1);
        pending().await
    }
    assert_timeout_of("renamed", &renamed().await.unwrap_err());
}

// --- Return types -----------------------------------------------------------------------------------------------

#[derive(Debug, thiserror::Error)]
enum JobError {
    #[error("no input: {0}")]
    Io(#[from] io::Error),
    #[error("no number")]
    Number(#[from] ParseIntError),
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
}

#[tokio::test(start_paused = true)]
async fn a_result_takes_errors_of_several_types_by_from() {
    #[cancel_scope(timeout = 30ms)]
    async fn job(input: &str) -> Result<u32, JobError> {
        if input.is_empty() {
            return Err(io::Error::other("empty").into());
        }
        let number = input.parse()?;
        let checked = spawn!(async move {
            sleep(10).await;
            if number == 13 { Err(io::Error::other("thirteen")) } else { Ok(number) }
        });
        let number = checked.await?;
        sleep(u64::from(number)).await;
        Ok(number)
    }
    assert_eq!(job("7").await.unwrap(), 7);
    assert!(matches!(job("").await, Err(JobError::Io(_))));
    assert!(matches!(job("x").await, Err(JobError::Number(_))));
    assert!(matches!(job("13").await, Err(JobError::Io(error)) if error.to_string() == "thirteen"));
    let (cut, after) = timed(job("500")).await;
    assert!(matches!(cut, Err(JobError::Cancelled(cancelled)) if cancelled.is_timeout()));
    assert_eq!(after, 30);
}

#[tokio::test(start_paused = true)]
async fn anyhow_carries_the_cancelled_and_the_childs_error() {
    #[cancel_scope(timeout = 30ms)]
    async fn job(input: &'static str) -> anyhow::Result<u32> {
        use anyhow::Context as _;
        if input.is_empty() {
            anyhow::bail!("empty");
        }
        let number = spawn!(async move { input.parse::<u32>().context("bad number") });
        let number = number.await?;
        sleep(u64::from(number)).await;
        Ok(number)
    }
    assert_eq!(job("7").await.unwrap(), 7);
    assert_eq!(job("").await.unwrap_err().to_string(), "empty");
    let failed = job("x").await.unwrap_err();
    assert_eq!(failed.to_string(), "bad number");
    assert!(failed.is::<&str>() || failed.root_cause().is::<ParseIntError>());
    assert_timeout_of("job", job("500").await.unwrap_err().downcast_ref().unwrap());
}

#[tokio::test(start_paused = true)]
async fn io_results_tell_a_timeout_by_its_kind() {
    #[cancel_scope(timeout = 30ms)]
    async fn read(cancel: bool) -> io::Result<()> {
        if cancel {
            current().cancel();
        }
        pending().await
    }
    let (cut, after) = timed(read(false)).await;
    assert_eq!((cut.unwrap_err().kind(), after), (io::ErrorKind::TimedOut, 30));
    let (cut, after) = timed(read(true)).await;
    assert_eq!((cut.unwrap_err().kind(), after), (io::ErrorKind::Interrupted, 0));
}

#[tokio::test(start_paused = true)]
async fn boxed_errors_are_send_and_sync_and_hold_the_cancelled() {
    #[cancel_scope(timeout = 30ms)]
    async fn job(input: &str) -> Result<u32, Box<dyn Error + Send + Sync>> {
        let number = input.parse::<u32>()?;
        if number == 0 {
            return Err("zero".into());
        }
        sleep(u64::from(number)).await;
        Ok(number)
    }
    assert_eq!(assert_send(job("7")).await.unwrap(), 7);
    assert_eq!(job("0").await.unwrap_err().to_string(), "zero");
    assert!(job("x").await.unwrap_err().is::<ParseIntError>());
    assert_timeout_of("job", job("500").await.unwrap_err().downcast_ref().unwrap());
}

#[tokio::test(start_paused = true)]
async fn an_option_needs_a_fallback_and_keeps_its_question_mark() {
    #[cancel_scope(timeout = 30ms, fallback = None)]
    async fn find(rows: &[u64], index: usize) -> Option<u64> {
        let row = *rows.get(index)?;
        sleep(row).await;
        Some(row)
    }
    assert_eq!(find(&[5, 100], 0).await, Some(5));
    assert_eq!(timed(find(&[5, 100], 9)).await, (None, 0));
    assert_eq!(timed(find(&[5, 100], 1)).await, (None, 30));
}

#[tokio::test(start_paused = true)]
async fn unit_needs_no_fallback() {
    #[cancel_scope(timeout = 30ms)]
    async fn work(takes: u64) {
        if takes == 0 {
            return;
        }
        sleep(takes).await;
    }
    assert_eq!(timed(work(0)).await.1, 0);
    assert_eq!(timed(work(20)).await.1, 20);
    assert_eq!(timed(work(100)).await.1, 30);
}

#[tokio::test(start_paused = true)]
async fn unit_written_out_needs_no_fallback() {
    #[cancel_scope(timeout = 30ms)]
    async fn work() -> () {
        pending().await
    }
    assert_eq!(timed(work()).await.1, 30);
}

#[tokio::test(start_paused = true)]
async fn an_alias_of_a_result_needs_no_fallback() {
    type Answer<T> = Result<T, JobError>;

    #[cancel_scope(timeout = 30ms)]
    async fn ask() -> Answer<u32> {
        pending().await
    }
    assert!(matches!(ask().await, Err(JobError::Cancelled(_))));
}

#[tokio::test(start_paused = true)]
async fn a_plain_value_has_its_fallback() {
    #[cancel_scope(timeout = 30ms, fallback = 0)]
    async fn count(takes: u64) -> u64 {
        sleep(takes).await;
        takes
    }
    assert_eq!(timed(count(20)).await, (20, 20));
    assert_eq!(timed(count(100)).await, (0, 30));
}

#[tokio::test(start_paused = true)]
async fn a_fallback_is_told_why() {
    #[cancel_scope(timeout = 30ms, fallback = |cancelled| Err(cancelled.is_timeout()))]
    async fn count(cancel: bool) -> Result<u32, bool> {
        if cancel {
            current().cancel();
        }
        pending().await
    }
    assert_eq!(timed(count(false)).await, (Err(true), 30));
    assert_eq!(timed(count(true)).await, (Err(false), 0));
}

#[tokio::test(start_paused = true)]
async fn a_fallback_uses_parameters_and_may_await() {
    #[cancel_scope(timeout = 30ms, fallback = |cancelled| {
        sleep(5).await;
        format!("{default} after {}", cancelled.scope_name())
    })]
    async fn name(default: &str, seen: &mut Vec<u32>) -> String {
        seen.push(1);
        pending().await
    }
    let mut seen = Vec::new();
    assert_eq!(timed(name("none", &mut seen)).await, ("none after name".to_owned(), 35));
    assert_eq!(seen, [1]);
}

#[tokio::test(start_paused = true)]
async fn a_fallback_may_use_what_the_body_only_borrows() {
    #[cancel_scope(timeout = 30ms, fallback = rows)]
    async fn grow(mut rows: Vec<u32>) -> Vec<u32> {
        rows.push(1);
        sleep(10).await;
        rows.push(2);
        pending().await
    }
    assert_eq!(grow(vec![0]).await, [0, 1, 2]);
}

#[tokio::test(start_paused = true)]
async fn a_failure_takes_precedence_over_the_fallback() {
    #[cancel_scope(timeout = 30ms, fallback = Ok(0))]
    async fn job() -> Result<u32, JobError> {
        let _child = spawn!(async { "x".parse::<u32>() });
        pending().await
    }
    let (failed, after) = timed(job()).await;
    assert!(matches!(failed, Err(JobError::Number(_))));
    assert_eq!(after, 0);
}

// --- Send and !Send ---------------------------------------------------------------------------------------------

/// None of these is ever run: that they compile is what they show.
#[test]
fn futures_are_send_if_their_parts_are() {
    #[cancel_scope(timeout = 1s, name = format!("x{}", 1), cleanup_timeout = 1s, scope = s)]
    async fn function(list: &mut Vec<u32>) -> Result<&mut u32, BoxError> {
        let child = spawn!(in s, async { "1".parse::<u32>() });
        let sum = scope!(timeout = 1s, |inner| {
            let other = spawn!(in inner, async { 1 });
            shield!({
                sleep(1).await;
                let text = scope!({ other.await? })?;
                text + 1
            })
        })?;
        list.push(sum + child.await?);
        Ok(&mut list[0])
    }
    drop(assert_send(function(&mut Vec::new())));
    drop(assert_send(async { scope!(timeout = 1s, { sleep(1).await }).is_ok() }));
    drop(assert_send(async { shield!({ sleep(1).await }) }));
    drop(assert_send(async {
        scope!({
            let child = spawn!(async { sleep(1).await });
            child.await.ok()
        })
        .ok()
    }));
    drop(assert_send(async {
        for _ in 0..3 {
            scope!({
                shield!({
                    scope!(fallback = continue, { sleep(1).await });
                    if remaining().is_some() {
                        break;
                    }
                })
            })
            .ok();
        }
    }));
    drop(assert_send(async { scope_runtime::fail_after(ms(1), sleep(1)).await }));
}

#[tokio::test(start_paused = true)]
async fn futures_that_are_not_send_run_on_a_local_set() {
    #[cancel_scope(timeout = 50ms)]
    async fn local(count: Rc<u32>, log: &Log) -> Result<u32, Cancelled> {
        let cut = scope!(timeout = 10ms, {
            let _here = Rc::clone(&count);
            pending::<()>().await;
        });
        assert!(cut.is_err());
        log.say("cut");
        let child = spawn!(async {
            sleep(10).await;
            1
        });
        let sum = shield!({ *count + child.await? });
        assert_eq!(Rc::strong_count(&count), 1, "the body of the scope is gone");
        sleep(u64::from(*count)).await;
        Ok(sum)
    }
    let log = Log::new();
    let inside = log.clone();
    let set = tokio::task::LocalSet::new();
    set.run_until(async move {
        let first = inside.clone();
        let task = tokio::task::spawn_local(async move { local(Rc::new(5), &first).await });
        assert_eq!(task.await.unwrap().unwrap(), 6);
        inside.say("whole");
        let second = inside.clone();
        let task = tokio::task::spawn_local(async move { local(Rc::new(500), &second).await });
        assert_timeout_of("local", &task.await.unwrap().unwrap_err());
        inside.say("late");
    })
    .await;
    log.expect(&["10 cut", "25 whole", "35 cut", "75 late"]);
}
