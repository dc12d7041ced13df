//! Waiting for more than one thing: the first of two, all of many, or for no longer than some time.

use crate::executor;
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::future::{Future, poll_fn};
use core::pin::{Pin, pin};
use core::task::Poll;
use core::time::Duration;

/// What [`race`] came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum First<A, B> {
    /// The first was done first, or both at once.
    Left(A),
    /// The second was.
    Right(B),
}

/// Runs two futures until one is done, and drops the other.
pub async fn race<A, B>(left: impl Future<Output = A>, right: impl Future<Output = B>) -> First<A, B> {
    let (mut left, mut right) = (pin!(left), pin!(right));
    poll_fn(|context| match left.as_mut().poll(context) {
        Poll::Ready(a) => Poll::Ready(First::Left(a)),
        Poll::Pending => right.as_mut().poll(context).map(First::Right),
    })
    .await
}

/// Runs a future for no longer than some time; `None` if it was not done by then.
pub async fn within<T>(duration: Duration, work: impl Future<Output = T>) -> Option<T> {
    match race(work, executor::sleep(duration)).await {
        First::Left(result) => Some(result),
        First::Right(()) => None,
    }
}

/// Runs futures until all are done; results in the order of the futures.
pub async fn all<'a, T>(works: impl IntoIterator<Item = Pin<Box<dyn Future<Output = T> + 'a>>>) -> Vec<T> {
    let mut works: Vec<_> = works.into_iter().map(|work| (Some(work), None)).collect();
    poll_fn(|context| {
        for (work, result) in &mut works {
            if let Some(Poll::Ready(done)) = work.as_mut().map(|work| work.as_mut().poll(context)) {
                (*work, *result) = (None, Some(done));
            }
        }
        if works.iter().all(|(work, _)| work.is_none()) { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    works.into_iter().filter_map(|(_, result)| result).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::future::{pending, ready};
    use core::task::{Context, Waker};

    fn now<T>(work: impl Future<Output = T>) -> Option<T> {
        match pin!(work).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(result) => Some(result),
            Poll::Pending => None,
        }
    }

    #[test]
    fn the_first_of_two_wins() {
        assert_eq!(now(race(ready(1), ready(2))), Some(First::Left(1)));
        assert_eq!(now(race(pending::<()>(), ready(2))), Some(First::Right(2)));
        assert!(now(race(pending::<()>(), pending::<()>())).is_none());
    }

    #[test]
    fn all_are_waited_for_in_order() {
        let boxed = |n: i32| Box::pin(ready(n)) as Pin<Box<dyn Future<Output = i32>>>;
        assert_eq!(now(all([boxed(1), boxed(2)])), Some(vec![1, 2]));
        assert!(now(all([boxed(1), Box::pin(pending())])).is_none());
        assert_eq!(now(all::<i32>([])), Some(vec![]));
    }
}
