//! What waits to be reconciled: each object once, in the order in which it was asked for.
//!
//! kube's scheduler takes whatever it is given at once and then starts it in arbitrary order, so that in a burst some
//! objects wait for all the others. It is therefore given no more than it can start.

use std::{
    collections::{HashSet, VecDeque},
    future::Future,
    hash::Hash,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use futures::{FutureExt, Stream, StreamExt, channel::mpsc, future::Fuse};

/// The sending end. Unbounded: equal requests are one.
pub(super) type Sender<T> = mpsc::UnboundedSender<T>;

/// Takes requests from the beginning, and hands them out from when `opened` resolves to true. Ends with its senders, or
/// when `opened` resolves to false; what still waits is left.
pub(super) struct Queue<T, O: Future> {
    requests: mpsc::UnboundedReceiver<T>,
    finished: mpsc::UnboundedReceiver<T>,
    opened: Fuse<O>,
    open: bool,
    at_once: usize,
    order: VecDeque<Arc<T>>,
    waiting: HashSet<Arc<T>>,
    under_way: HashSet<T>,
}

impl<T, O: Future<Output = bool>> Queue<T, O> {
    /// A queue that has at most `at_once` requests under way: handed out, and not yet told of by the returned sender.
    pub(super) fn new(requests: mpsc::UnboundedReceiver<T>, opened: O, at_once: u16) -> (Self, Sender<T>) {
        let (finisher, finished) = mpsc::unbounded();
        let queue = Self {
            requests,
            finished,
            opened: opened.fuse(),
            open: false,
            at_once: usize::from(at_once),
            order: VecDeque::new(),
            waiting: HashSet::new(),
            under_way: HashSet::new(),
        };
        (queue, finisher)
    }
}

impl<T: Clone + Eq + Hash + Unpin, O: Future<Output = bool> + Unpin> Stream for Queue<T, O> {
    type Item = T;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        let queue = &mut *self;
        while let Poll::Ready(request) = queue.requests.poll_next_unpin(cx) {
            let Some(request) = request else {
                return Poll::Ready(None);
            };
            let request = Arc::new(request);
            if queue.waiting.insert(request.clone()) {
                queue.order.push_back(request);
            }
        }
        while let Poll::Ready(Some(finished)) = queue.finished.poll_next_unpin(cx) {
            queue.under_way.remove(&finished);
        }
        if !queue.open {
            queue.open = ready!(queue.opened.poll_unpin(cx));
            if !queue.open {
                return Poll::Ready(None);
            }
        }
        if queue.under_way.len() >= queue.at_once {
            return Poll::Pending;
        }
        let Some(next) = queue.order.pop_front() else {
            return Poll::Pending;
        };
        queue.waiting.remove(&next);
        let next = Arc::unwrap_or_clone(next);
        queue.under_way.insert(next.clone());
        Poll::Ready(Some(next))
    }
}

#[cfg(test)]
mod tests {
    use futures::future;

    use super::*;

    fn queue<O: Future<Output = bool>>(opened: O) -> (Sender<u8>, Queue<u8, O>, Sender<u8>) {
        let (sender, requests) = mpsc::unbounded();
        let (queue, finished) = Queue::new(requests, opened, 2);
        (sender, queue, finished)
    }

    fn send(sender: &Sender<u8>, requests: &[u8]) {
        for &request in requests {
            sender.unbounded_send(request).unwrap();
        }
    }

    /// What it hands out before it waits, or ends.
    fn drain<O: Future<Output = bool> + Unpin>(queue: &mut Queue<u8, O>) -> Vec<u8> {
        std::iter::from_fn(|| queue.next().now_or_never().flatten()).collect()
    }

    #[test]
    fn requests_are_handed_out_in_their_order_and_each_once_as_others_finish() {
        let (sender, mut queue, finished) = queue(future::ready(true));
        send(&sender, &[3, 1, 3, 2, 1, 4]);
        assert_eq!(drain(&mut queue), [3, 1]);
        send(&finished, &[1]);
        assert_eq!(drain(&mut queue), [2]);
        // What finishes without having been handed out, as timers start it, makes no room.
        send(&finished, &[9]);
        assert_eq!(drain(&mut queue), [0; 0]);
        send(&finished, &[2, 3]);
        assert_eq!(drain(&mut queue), [4]);
    }

    #[test]
    fn what_is_asked_for_while_it_is_under_way_comes_again() {
        let (sender, mut queue, _finished) = queue(future::ready(true));
        send(&sender, &[1]);
        assert_eq!(drain(&mut queue), [1]);
        send(&sender, &[1, 1]);
        assert_eq!(drain(&mut queue), [1]);
    }

    #[test]
    fn nothing_is_handed_out_before_the_gate_opens_nor_kept_twice() {
        let (gate, opened) = futures::channel::oneshot::channel();
        let (sender, mut queue, _finished) = queue(opened.map(|opened| opened.is_ok()).boxed());
        send(&sender, &[1, 1, 1]);
        assert_eq!(drain(&mut queue), [0; 0]);
        assert_eq!(queue.order, [Arc::new(1)]);
        gate.send(()).unwrap();
        assert_eq!(drain(&mut queue), [1]);
    }

    #[test]
    fn a_queue_ends_with_its_senders_or_with_a_gate_that_cannot_open() {
        let (sender, mut queue, _finished) = queue(future::ready(true));
        send(&sender, &[1, 2, 3]);
        drop(sender);
        assert_eq!(queue.next().now_or_never(), Some(None));

        let (sender, mut shut, _finished) = self::queue(future::ready(false));
        send(&sender, &[1]);
        assert_eq!(shut.next().now_or_never(), Some(None));
    }
}
