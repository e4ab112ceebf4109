//! Organisations and Namespaces, to which tokens refer by name, and policies.

use std::sync::Arc;

use super::intern::Interner;

/// Objects by name. A name is kept while its object exists or a token refers to it.
#[derive(Debug)]
pub(super) struct Names<T> {
    pub(super) interner: Interner<str, Known<T>>,
    /// How often the list of them began.
    generation: u32,
}

/// An object, while it exists, and in which list it was seen last.
#[derive(Debug)]
pub(super) struct Known<T> {
    pub(super) value: Option<T>,
    generation: u32,
}

impl<T> Default for Known<T> {
    fn default() -> Self {
        Self {
            value: None,
            generation: 0,
        }
    }
}

impl<T> Default for Names<T> {
    fn default() -> Self {
        Self {
            interner: Interner::default(),
            generation: 0,
        }
    }
}

impl<T> Names<T> {
    /// What is known under `name`.
    pub(super) fn find(&self, name: &str) -> Option<&T> {
        let number = self.interner.number(name)?;
        self.interner.get(number)?.value.value.as_ref()
    }

    /// Enters an object; returns what was there before.
    pub(super) fn set(&mut self, name: &str, value: T) -> Option<T> {
        let generation = self.generation;
        let number = match self.interner.number(name) {
            Some(number)
                if self
                    .interner
                    .get(number)
                    .is_some_and(|entry| entry.value.value.is_some()) =>
            {
                number
            }
            _ => self.interner.acquire(name),
        };
        let known = self.interner.value_mut(number)?;
        known.generation = generation;
        known.value.replace(value)
    }

    /// Takes an object out.
    pub(super) fn unset(&mut self, name: &str) {
        if let Some(number) = self.interner.number(name) {
            self.unset_number(number);
        }
    }

    fn unset_number(&mut self, number: u32) {
        if self
            .interner
            .value_mut(number)
            .and_then(|known| known.value.take())
            .is_some()
        {
            self.interner.release(number);
        }
    }

    /// The list of them begins.
    pub(super) fn begin(&mut self) {
        self.generation = self.generation.wrapping_add(1);
    }

    /// Takes out what the list that began last did not have; returns the names.
    pub(super) fn sweep(&mut self) -> Vec<Arc<str>> {
        let generation = self.generation;
        let is_absent = |known: &Known<T>| known.value.is_some() && known.generation != generation;
        let absent: Vec<(u32, Arc<str>)> = self
            .interner
            .iter()
            .filter(|(_, entry)| is_absent(&entry.value))
            .map(|(number, entry)| (number, Arc::clone(&entry.key)))
            .collect();
        absent
            .into_iter()
            .map(|(number, name)| {
                self.unset_number(number);
                name
            })
            .collect()
    }

    /// Those that exist, with their names.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&Arc<str>, &T)> {
        let entries = self.interner.iter();
        entries.filter_map(|(_, entry)| Some((&entry.key, entry.value.value.as_ref()?)))
    }

    /// Those that exist, with their names, to be changed.
    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (&Arc<str>, &mut T)> {
        let entries = self.interner.iter_mut();
        entries.filter_map(|entry| Some((&entry.key, entry.value.value.as_mut()?)))
    }

    /// How many exist.
    pub(super) fn known(&self) -> usize {
        self.iter().count()
    }
}
