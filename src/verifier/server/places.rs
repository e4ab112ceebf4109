//! Which connections there are, and which one has to go for another.
//!
//! Whoever opens connections and does not use them must not keep out those that would. So when there are too many, one that
//! rests goes, rather than the one that comes: first those that never asked anything, then those that have rested longest,
//! and trusted proxies' last of all. One that waits for an answer is let be.

use std::{collections::HashMap, net::IpAddr, sync::Arc};

use tokio::{
    task::{AbortHandle, Id},
    time::Instant,
};

use super::{Limits, activity::Activity};
use crate::domain::client_address::TrustedProxies;

/// See the [module documentation](self).
pub(super) struct Places {
    limits: Limits,
    trusted: TrustedProxies,
    taken: HashMap<Id, Place>,
    /// How many each peer has.
    peers: HashMap<IpAddr, usize>,
}

struct Place {
    peer: IpAddr,
    is_trusted: bool,
    activity: Arc<Activity>,
    task: AbortHandle,
}

/// What becomes of a connection that comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Admission {
    Free,
    /// Another one had to go.
    InItsPlace,
    Refused,
}

impl Places {
    pub(super) fn new(limits: Limits, trusted: TrustedProxies) -> Self {
        Self {
            limits,
            trusted,
            taken: HashMap::new(),
            peers: HashMap::new(),
        }
    }

    pub(super) fn taken(&self) -> usize {
        self.taken.len()
    }

    /// Makes room for a connection of `peer`.
    pub(super) fn admit(&mut self, peer: IpAddr) -> Admission {
        let (peer, is_trusted) = (peer.to_canonical(), self.trusted.contains(peer));
        let own = self.peers.get(&peer).copied().unwrap_or_default();
        // Who has its share makes room itself.
        let has_its_share = !is_trusted && own >= self.limits.of_one_peer;
        if !has_its_share && self.taken.len() < self.limits.connections {
            return Admission::Free;
        }
        let may_go = |place: &Place| match has_its_share {
            true => place.peer == peer,
            false => is_trusted || !place.is_trusted,
        };
        let candidates = self.taken.iter().filter(|(_, place)| may_go(place));
        let ranked = candidates.filter_map(|(id, place)| Some((place.rank()?, *id)));
        let Some((_, first)) = ranked.min_by_key(|(rank, _)| *rank) else {
            return Admission::Refused;
        };
        if let Some(place) = self.leave(first) {
            place.abort();
        }
        Admission::InItsPlace
    }

    /// The connection of `peer` that was admitted is carried on by `task`.
    pub(super) fn enter(&mut self, peer: IpAddr, activity: Arc<Activity>, task: AbortHandle) {
        let (peer, is_trusted) = (peer.to_canonical(), self.trusted.contains(peer));
        *self.peers.entry(peer).or_default() += 1;
        let id = task.id();
        let place = Place {
            peer,
            is_trusted,
            activity,
            task,
        };
        self.taken.insert(id, place);
    }

    /// A connection's task has ended, or is to end.
    pub(super) fn leave(&mut self, id: Id) -> Option<AbortHandle> {
        let place = self.taken.remove(&id)?;
        if let Some(count) = self.peers.get_mut(&place.peer) {
            *count -= 1;
            if *count == 0 {
                self.peers.remove(&place.peer);
            }
        }
        Some(place.task)
    }
}

impl Place {
    /// Which one goes first. None: it does not.
    fn rank(&self) -> Option<(bool, bool, Instant, Instant)> {
        let (asked, since) = self.activity.resting()?;
        Some((self.is_trusted, asked, since, self.activity.opened()))
    }
}

#[cfg(test)]
mod tests {
    use std::{future::pending, time::Duration};

    use super::*;

    const PROXY: &str = "10.0.0.1";

    struct Crowd {
        places: Places,
        entered: Vec<(Id, Arc<Activity>)>,
    }

    /// Of 8 places, 2 for each peer but for proxies.
    fn crowd() -> Crowd {
        let limits = Limits {
            connections: 8,
            of_one_peer: 2,
            ..Limits::default()
        };
        Crowd {
            places: Places::new(limits, PROXY.parse().unwrap()),
            entered: Vec::new(),
        }
    }

    impl Crowd {
        async fn come(&mut self, peer: &str) -> Admission {
            let peer = peer.parse().unwrap();
            let admission = self.places.admit(peer);
            if admission != Admission::Refused {
                let activity = Activity::new();
                let task = tokio::spawn(pending::<()>()).abort_handle();
                self.entered.push((task.id(), Arc::clone(&activity)));
                self.places.enter(peer, activity, task);
            }
            tokio::time::advance(Duration::from_secs(1)).await;
            admission
        }

        /// Who still has a place, by the order in which they came.
        fn there(&self) -> Vec<usize> {
            let entered = self.entered.iter().enumerate();
            entered
                .filter(|(_, (id, _))| self.places.taken.contains_key(id))
                .map(|(number, _)| number)
                .collect()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_has_its_share_and_a_trusted_proxy_as_much_as_there_is() {
        let mut crowd = crowd();
        for _ in 0..2 {
            assert_eq!(crowd.come("192.0.2.1").await, Admission::Free);
        }
        assert_eq!(crowd.come("::ffff:192.0.2.1").await, Admission::InItsPlace);
        assert_eq!(crowd.there(), [1, 2]);
        let _busy = [crowd.entered[1].1.begin(), crowd.entered[2].1.begin()];
        assert_eq!(crowd.come("192.0.2.1").await, Admission::Refused);
        for _ in 0..6 {
            assert_eq!(crowd.come(PROXY).await, Admission::Free);
        }
        assert_eq!(crowd.places.taken(), 8);
        crowd.places.leave(crowd.entered[1].0);
        assert_eq!(crowd.come("192.0.2.1").await, Admission::Free);
    }

    #[tokio::test(start_paused = true)]
    async fn who_never_asked_goes_first_and_a_trusted_proxy_last() {
        let mut crowd = crowd();
        for peer in [PROXY, "192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4"] {
            crowd.come(peer).await;
        }
        let answered = async |crowd: &Crowd, number: usize| {
            drop(crowd.entered[number].1.begin());
            tokio::time::advance(Duration::from_secs(1)).await;
        };
        for number in [2, 1, 4] {
            answered(&crowd, number).await;
        }
        let _busy = crowd.entered[4].1.begin();
        for _ in 5..8 {
            crowd.come(PROXY).await;
        }
        // The one that never asked, then those that rest longest; the busy one and the proxy's stay.
        for gone in [3, 2, 1] {
            assert!(crowd.there().contains(&gone));
            assert_eq!(crowd.come(PROXY).await, Admission::InItsPlace);
            assert!(!crowd.there().contains(&gone), "{gone} of {:?}", crowd.there());
        }
        assert_eq!(crowd.come("192.0.2.9").await, Admission::Refused);
        assert_eq!(crowd.come(PROXY).await, Admission::InItsPlace);
        assert!(!crowd.there().contains(&0));
    }
}
