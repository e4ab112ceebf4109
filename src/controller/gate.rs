//! Holds back the reconcilers until everything that they judge by is known.

use std::future::Future;

use futures::{FutureExt, channel::oneshot, future};

/// Opens when every watch has delivered its first list: a token that is judged before its organisation is known would
/// be told that there is none.
#[derive(Debug, Default)]
pub(super) struct Gate(Vec<oneshot::Receiver<()>>);

/// What one watch says to the gate.
#[derive(Debug)]
pub(super) struct Listed(Option<oneshot::Sender<()>>);

impl Gate {
    /// One more watch to wait for.
    pub(super) fn awaits(&mut self) -> Listed {
        let (sender, receiver) = oneshot::channel();
        self.0.push(receiver);
        Listed(Some(sender))
    }

    /// Resolves to true when the gate opens, and to false when a watch ended before.
    pub(super) fn opened(self) -> impl Future<Output = bool> + Send {
        future::try_join_all(self.0).map(|all| all.is_ok())
    }
}

impl Listed {
    /// The first list is there. Those after it change nothing.
    pub(super) fn done(&mut self) {
        if let Some(sender) = self.0.take() {
            // Fails only when nobody waits any more.
            let _ = sender.send(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gate_opens_with_the_last_list() {
        let mut gate = Gate::default();
        let (mut first, mut second) = (gate.awaits(), gate.awaits());
        let mut opened = Box::pin(gate.opened());
        first.done();
        first.done();
        assert_eq!(opened.as_mut().now_or_never(), None);
        second.done();
        assert_eq!(opened.now_or_never(), Some(true));
    }

    #[test]
    fn a_gate_cannot_open_any_more_when_a_watch_ended_before_its_list() {
        let mut gate = Gate::default();
        let (mut first, second) = (gate.awaits(), gate.awaits());
        first.done();
        drop(second);
        assert_eq!(gate.opened().now_or_never(), Some(false));
    }
}
