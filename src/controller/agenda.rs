//! What is to be looked at, and when: in the order in which it was asked for, each object by one at a time.
//!
//! The rules are those of client-go's work queue. kube's scheduler starts what is due in arbitrary order, so that in a burst
//! some objects wait for all the others.

use std::{
    collections::{BTreeSet, HashMap, HashSet, VecDeque},
    hash::Hash,
};

use tokio::time::Instant;

pub(super) struct Agenda<T> {
    /// How many may be under way.
    at_once: usize,
    /// Whose turn is next.
    order: VecDeque<T>,
    /// Those in `order`, and those under way that were asked for again.
    waiting: HashSet<T>,
    under_way: HashSet<T>,
    /// When the others are due, if ever.
    times: HashMap<T, Instant>,
    due: BTreeSet<(Instant, T)>,
}

impl<T: Clone + Eq + Hash + Ord> Agenda<T> {
    pub(super) fn new(at_once: u16) -> Self {
        Self {
            at_once: usize::from(at_once),
            order: VecDeque::new(),
            waiting: HashSet::new(),
            under_way: HashSet::new(),
            times: HashMap::new(),
            due: BTreeSet::new(),
        }
    }

    /// Has it looked at when its turn comes. Whenever it was due comes to nothing: that look tells anew.
    pub(super) fn ask(&mut self, object: T) {
        if !self.waiting.insert(object.clone()) {
            return;
        }
        if let Some(time) = self.times.remove(&object) {
            self.due.remove(&(time, object.clone()));
        }
        if !self.under_way.contains(&object) {
            self.order.push_back(object);
        }
    }

    /// What is to be looked at now: it is under way until it is [done](Self::done).
    pub(super) fn next(&mut self, now: Instant) -> Option<T> {
        while let Some((_, object)) = self.due.first().filter(|(time, _)| *time <= now) {
            let object = object.clone();
            self.ask(object);
        }
        if self.under_way.len() >= self.at_once {
            return None;
        }
        let next = self.order.pop_front()?;
        self.waiting.remove(&next);
        self.under_way.insert(next.clone());
        Some(next)
    }

    /// It has been looked at, and is to be again at that time; sooner if it has been asked for meanwhile.
    pub(super) fn done(&mut self, object: T, again: Option<Instant>) {
        self.under_way.remove(&object);
        if self.waiting.contains(&object) {
            self.order.push_back(object);
        } else if let Some(time) = again {
            self.times.insert(object.clone(), time);
            self.due.insert((time, object));
        }
    }

    /// When the first is due of those that nobody has asked for.
    pub(super) fn due(&self) -> Option<Instant> {
        self.due.first().map(|(time, _)| *time)
    }
}

#[cfg(test)]
mod tests {
    use std::{iter, time::Duration};

    use proptest::prelude::*;

    use super::*;

    fn all(agenda: &mut Agenda<u8>, now: Instant) -> Vec<u8> {
        iter::from_fn(|| agenda.next(now)).collect()
    }

    fn asked(at_once: u16, objects: &[u8]) -> Agenda<u8> {
        let mut agenda = Agenda::new(at_once);
        objects.iter().for_each(|&object| agenda.ask(object));
        agenda
    }

    #[test]
    fn requests_have_their_turn_in_their_order_and_each_once_as_others_are_done() {
        let (mut agenda, now) = (asked(2, &[3, 1, 3, 2, 1, 4]), Instant::now());
        assert_eq!(all(&mut agenda, now), [3, 1]);
        agenda.done(1, None);
        assert_eq!(all(&mut agenda, now), [2]);
        agenda.done(3, None);
        agenda.done(2, None);
        assert_eq!(all(&mut agenda, now), [4]);
    }

    #[test]
    fn what_is_asked_for_while_it_is_under_way_comes_again_once_and_not_at_the_same_time() {
        let (mut agenda, now) = (asked(2, &[1]), Instant::now());
        assert_eq!(all(&mut agenda, now), [1]);
        agenda.ask(1);
        agenda.ask(1);
        assert_eq!(all(&mut agenda, now), [0; 0]);
        agenda.done(1, Some(now + Duration::from_secs(9)));
        assert_eq!(agenda.due(), None);
        assert_eq!(all(&mut agenda, now), [1]);
        agenda.done(1, None);
        assert_eq!(all(&mut agenda, now), [0; 0]);
    }

    #[test]
    fn what_is_due_has_its_turn_then_and_not_before() {
        let (mut agenda, now) = (asked(2, &[1, 2]), Instant::now());
        let (soon, late) = (now + Duration::from_secs(1), now + Duration::from_secs(2));
        assert_eq!(all(&mut agenda, now), [1, 2]);
        agenda.done(1, Some(late));
        agenda.done(2, Some(soon));
        assert_eq!((agenda.due(), all(&mut agenda, now)), (Some(soon), vec![]));
        assert_eq!((all(&mut agenda, soon), agenda.due()), (vec![2], Some(late)));
        assert_eq!((all(&mut agenda, late), agenda.due()), (vec![1], None));
    }

    #[test]
    fn what_is_due_while_nothing_can_begin_waits_without_being_due() {
        let (mut agenda, now) = (asked(1, &[1]), Instant::now());
        assert_eq!(all(&mut agenda, now), [1]);
        agenda.done(1, Some(now));
        agenda.ask(2);
        // Whoever waits for the time would wake for nothing again and again.
        assert_eq!((all(&mut agenda, now), agenda.due()), (vec![2], None));
        agenda.done(2, None);
        assert_eq!(all(&mut agenda, now), [1]);
    }

    #[test]
    fn asking_for_what_is_due_later_brings_it_forward() {
        let (mut agenda, now) = (asked(2, &[1]), Instant::now());
        assert_eq!(all(&mut agenda, now), [1]);
        agenda.done(1, Some(now + Duration::from_secs(9)));
        agenda.ask(1);
        assert_eq!((all(&mut agenda, now), agenda.due()), (vec![1], None));
    }

    #[derive(Clone, Debug)]
    enum Step {
        Ask(u8),
        /// The n-th of those under way is done, and due again after so many seconds.
        Done(usize, Option<u64>),
        /// So many seconds pass.
        Wait(u64),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            (0..6_u8).prop_map(Step::Ask),
            (0..3_usize, prop::option::of(0..4_u64)).prop_map(|(n, again)| Step::Done(n, again)),
            (0..3_u64).prop_map(Step::Wait),
        ]
    }

    proptest! {
        /// Against the simplest model: who owes a look.
        #[test]
        fn nobody_is_forgotten_nor_looked_at_twice_at_a_time(steps in prop::collection::vec(step(), 0..60)) {
            let (mut agenda, mut now) = (Agenda::new(2), Instant::now());
            let (mut owed, mut times, mut under_way) = (HashSet::new(), HashMap::new(), Vec::new());
            for step in steps {
                match step {
                    Step::Ask(object) => {
                        agenda.ask(object);
                        times.remove(&object);
                        owed.insert(object);
                    }
                    Step::Done(n, again) if !under_way.is_empty() => {
                        let object: u8 = under_way.remove(n % under_way.len());
                        let again = again.map(|seconds| now + Duration::from_secs(seconds));
                        agenda.done(object, again);
                        times.extend(again.filter(|_| !owed.contains(&object)).map(|time| (object, time)));
                    }
                    Step::Done(..) => {}
                    Step::Wait(seconds) => now += Duration::from_secs(seconds),
                }
                let due: Vec<u8> = times.extract_if(|_, time| *time <= now).map(|(object, _)| object).collect();
                owed.extend(due);
                while let Some(next) = agenda.next(now) {
                    prop_assert!(owed.remove(&next) && !under_way.contains(&next));
                    under_way.push(next);
                }
                prop_assert!(under_way.len() == 2 || owed.iter().all(|object| under_way.contains(object)));
                prop_assert_eq!(agenda.due(), times.values().min().copied());
            }
        }
    }
}
