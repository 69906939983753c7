//! Time: a compact instant for the tree, and what users may write for `timeout` and `deadline`.
//!
//! All time is tokio's clock (rule L4), so tests on paused time are exact. [`now`] and [`Moment::now`] are the places that
//! read it; tests of sync code put a clock of ours in its place.

use std::num::NonZeroU32;
use std::sync::OnceLock;
use std::time::Duration;

use tokio::time::Instant;

use crate::blocking::clock::test_now;

/// An instant as nanoseconds on a scale of our own, so that it fits an atomic. [`Moment::NEVER`] is no instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Moment(pub(crate) u64);

/// Room below the first instant that we see: a paused clock of tokio's starts where its runtime was built, which may
/// be before our first look at a clock.
const ROOM: Duration = Duration::from_secs(365 * 24 * 3600);

#[inline]
fn base() -> std::time::Instant {
    static BASE: OnceLock<std::time::Instant> = OnceLock::new();
    *BASE.get_or_init(|| {
        let now = std::time::Instant::now();
        now.checked_sub(ROOM).unwrap_or(now)
    })
}

/// The nanoseconds of `d`, if there is room for them.
#[inline]
fn nanos(d: Duration) -> Option<u64> {
    d.as_secs().checked_mul(1_000_000_000)?.checked_add(u64::from(d.subsec_nanos()))
}

impl Moment {
    pub(crate) const NEVER: Self = Self(u64::MAX);

    pub(crate) fn now() -> Self {
        test_now().unwrap_or_else(|| Self::at(Instant::now()))
    }

    /// The moment of `instant`; one beyond the scale is `NEVER`, one before it is its beginning.
    #[inline]
    pub(crate) fn at(instant: Instant) -> Self {
        nanos(instant.into_std().saturating_duration_since(base())).map_or(Self::NEVER, Self)
    }

    /// `d` later; beyond the scale (584 years) there is no deadline.
    #[inline]
    pub(crate) fn after(self, d: Duration) -> Self {
        Self(self.0.saturating_add(nanos(d).unwrap_or(u64::MAX)))
    }

    pub(crate) fn is_never(self) -> bool {
        self == Self::NEVER
    }

    /// The instant, or `None` for [`Moment::NEVER`].
    pub(crate) fn instant(self) -> Option<Instant> {
        if self.is_never() {
            return None;
        }
        base().checked_add(Duration::from_nanos(self.0)).map(Instant::from_std)
    }

    pub(crate) fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

/// The instant by the clock that counts here. A frame compares instants: a [`Moment`] takes some arithmetic.
#[inline]
pub(crate) fn now() -> Instant {
    test_now().and_then(Moment::instant).unwrap_or_else(Instant::now)
}

/// Whether the clock has come to this deadline; it is read once, if at all.
#[inline(always)]
pub(crate) fn has_passed(deadline: Option<Instant>, clock: &mut Option<Instant>) -> bool {
    deadline.is_some_and(|deadline| *clock.get_or_insert_with(now) >= deadline)
}

/// The timeout that a deadline came from, for messages only: four bytes in every frame.
///
/// Two bits of unit and thirty of value; what has more digits than that is rounded down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Given(NonZeroU32);

/// Nanoseconds per unit.
const UNITS: [u64; 4] = [1, 1_000, 1_000_000, 1_000_000_000];

impl Given {
    /// The deadline was given as an instant, or there is none.
    pub(crate) const NOTHING: Self = Self(NonZeroU32::MAX);

    #[inline]
    pub(crate) fn timeout(timeout: Duration) -> Self {
        const ROOM: u64 = (1 << 30) - 1;
        let (secs, below) = (timeout.as_secs(), u64::from(timeout.subsec_nanos()));
        // Divisions by what the compiler knows: this is done at the entry of every scope with a timeout.
        let (unit, value) = match secs {
            0 => (0, below),
            _ if below != 0 && secs < ROOM / 1_000_000 => (1, secs * 1_000_000 + below / 1_000),
            _ if below != 0 && secs < ROOM / 1_000 => (2, secs * 1_000 + below / 1_000_000),
            _ if secs < ROOM => (3, secs),
            _ => return Self::NOTHING,
        };
        NonZeroU32::new(((value as u32) << 2 | unit) + 1).map_or(Self::NOTHING, Self)
    }

    pub(crate) fn to_timeout(self) -> Option<Duration> {
        if self == Self::NOTHING {
            return None;
        }
        let code = self.0.get() - 1;
        Some(Duration::from_nanos(u64::from(code >> 2) * UNITS[(code & 3) as usize]))
    }

    pub(crate) fn to_bits(self) -> u32 {
        self.0.get()
    }

    pub(crate) fn from_bits(bits: u32) -> Self {
        NonZeroU32::new(bits).map_or(Self::NOTHING, Self)
    }
}

/// When the clock ends a scope.
#[derive(Clone, Copy)]
pub(crate) struct Bound {
    /// `None` is never.
    pub(crate) at: Option<Instant>,
    pub(crate) given: Given,
    /// It has passed already, as far as is known.
    pub(crate) passed: bool,
}

impl Bound {
    /// It doesn't.
    pub(crate) const NONE: Self = Self { at: None, given: Given::NOTHING, passed: false };

    /// At this instant.
    pub(crate) fn at(deadline: Instant) -> Self {
        Self { at: Some(deadline), given: Given::NOTHING, passed: now() >= deadline }
    }

    /// So much later than now; what is beyond the clock is never.
    #[inline]
    pub(crate) fn after(timeout: Duration) -> Self {
        Self { at: now().checked_add(timeout), given: Given::timeout(timeout), passed: timeout.is_zero() }
    }
}

/// What `timeout = …` takes: a [`Duration`], or an `Option` of one (`None` is no timeout; rule L1).
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// use scope_runtime::{remaining, scope};
/// use std::time::Duration;
///
/// let configured: Option<Duration> = None;
/// let unbounded = scope!(timeout = configured, { remaining() });
/// assert_eq!(unbounded.unwrap(), None);
/// # }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no timeout",
    label = "expected a `Duration` or an `Option<Duration>`",
    note = "write a duration such as `timeout = 3s`, `timeout = \"1m30s\"` or `timeout = Duration::from_secs(3)`"
)]
pub trait IntoTimeout {
    /// The timeout, if there is one.
    ///
    /// # Examples
    ///
    /// ```
    /// use scope_runtime::IntoTimeout;
    /// use std::time::Duration;
    ///
    /// assert_eq!(Duration::from_secs(3).into_timeout(), Some(Duration::from_secs(3)));
    /// assert_eq!(None::<Duration>.into_timeout(), None);
    /// ```
    fn into_timeout(self) -> Option<Duration>;
}

impl IntoTimeout for Duration {
    fn into_timeout(self) -> Option<Duration> {
        Some(self)
    }
}

impl IntoTimeout for Option<Duration> {
    fn into_timeout(self) -> Option<Duration> {
        self
    }
}

/// What `deadline = …` takes: tokio's or std's `Instant`, or an `Option` of one (`None` is no deadline; rule L1).
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// use scope_runtime::{effective_deadline, scope};
/// use std::time::Duration;
/// use tokio::time::Instant;
///
/// let at = Instant::now() + Duration::from_secs(3);
/// let seen = scope!(deadline = at, { effective_deadline() });
/// assert_eq!(seen.unwrap(), Some(at));
/// # }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no deadline",
    label = "expected an `Instant` or an `Option<Instant>`",
    note = "a deadline is an instant of tokio's or std's clock; for a length of time write `timeout = …`"
)]
pub trait IntoDeadline {
    /// The deadline, if there is one.
    ///
    /// # Examples
    ///
    /// ```
    /// use scope_runtime::IntoDeadline;
    ///
    /// let now = std::time::Instant::now();
    /// assert_eq!(now.into_deadline(), Some(tokio::time::Instant::from_std(now)));
    /// assert_eq!(None::<std::time::Instant>.into_deadline(), None);
    /// ```
    fn into_deadline(self) -> Option<Instant>;
}

impl IntoDeadline for Instant {
    fn into_deadline(self) -> Option<Instant> {
        Some(self)
    }
}

impl IntoDeadline for std::time::Instant {
    fn into_deadline(self) -> Option<Instant> {
        Some(Instant::from_std(self))
    }
}

impl IntoDeadline for Option<Instant> {
    fn into_deadline(self) -> Option<Instant> {
        self
    }
}

impl IntoDeadline for Option<std::time::Instant> {
    fn into_deadline(self) -> Option<Instant> {
        self.map(Instant::from_std)
    }
}

#[cfg(all(test, not(scope_loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_moment_keeps_its_instant() {
        let now = Instant::now();
        assert_eq!(Moment::at(now).instant(), Some(now));
        assert_eq!(
            Moment::at(now).after(Duration::from_nanos(7)).since(Moment::at(now)),
            Duration::from_nanos(7)
        );
    }

    #[test]
    fn a_timeout_is_told_as_it_was_given() {
        for millis in [0, 1, 250, 1_500, 90_000, 86_400_000, 31_536_000_000] {
            let timeout = Duration::from_millis(millis);
            assert_eq!(Given::timeout(timeout).to_timeout(), Some(timeout));
        }
        assert_eq!(Given::timeout(Duration::from_nanos(7)).to_timeout(), Some(Duration::from_nanos(7)));
        assert_eq!(Given::timeout(Duration::MAX).to_timeout(), None);
        assert_eq!(Given::NOTHING.to_timeout(), None);
    }

    #[test]
    fn a_timeout_beyond_the_clock_is_never() {
        assert!(Moment::now().after(Duration::MAX).is_never());
        assert_eq!(Moment::NEVER.instant(), None);
    }
}
