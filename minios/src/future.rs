//! Combinators of futures: the first of two, all of many, and a time limit.

use crate::executor;
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::future::{Future, poll_fn};
use core::pin::{Pin, pin};
use core::task::Poll;
use core::time::Duration;

/// The result of [`select`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Either<A, B> {
    /// The first future was ready first, or both were ready.
    Left(A),
    /// The second future was ready first.
    Right(B),
}

/// Polls two futures until one is ready, and drops the other.
pub async fn select<A, B>(left: impl Future<Output = A>, right: impl Future<Output = B>) -> Either<A, B> {
    let (mut left, mut right) = (pin!(left), pin!(right));
    poll_fn(|context| match left.as_mut().poll(context) {
        Poll::Ready(a) => Poll::Ready(Either::Left(a)),
        Poll::Pending => right.as_mut().poll(context).map(Either::Right),
    })
    .await
}

/// Polls a future for `duration` at most; `None` if it was not ready by then.
pub async fn timeout<T>(duration: Duration, work: impl Future<Output = T>) -> Option<T> {
    match select(work, executor::sleep(duration)).await {
        Either::Left(result) => Some(result),
        Either::Right(()) => None,
    }
}

/// Polls futures until all are ready. The results are in the order of the futures.
pub async fn join_all<'a, T>(
    works: impl IntoIterator<Item = Pin<Box<dyn Future<Output = T> + 'a>>>,
) -> Vec<T> {
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
        assert_eq!(now(select(ready(1), ready(2))), Some(Either::Left(1)));
        assert_eq!(now(select(pending::<()>(), ready(2))), Some(Either::Right(2)));
        assert!(now(select(pending::<()>(), pending::<()>())).is_none());
    }

    #[test]
    fn all_are_waited_for_in_order() {
        let boxed = |n: i32| Box::pin(ready(n)) as Pin<Box<dyn Future<Output = i32>>>;
        assert_eq!(now(join_all([boxed(1), boxed(2)])), Some(vec![1, 2]));
        assert!(now(join_all([boxed(1), Box::pin(pending())])).is_none());
        assert_eq!(now(join_all::<i32>([])), Some(vec![]));
    }
}
