//! Names and identifiers that nobody has used before.

/// What Kubernetes makes the random part of generated names of: no vowels, so no words.
const ALPHABET: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";

/// A small deterministic generator (SplitMix64): the same seed gives the same uids, so that runs can be compared.
/// Nothing secret may come from it.
#[derive(Clone, Debug)]
pub(crate) struct Fresh(u64);

impl Fresh {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A version 4 UUID.
    pub(crate) fn uid(&mut self) -> String {
        let (high, low) = (self.next(), self.next());
        let (high, low) = ((high & !0xF000) | 0x4000, (low & !(0b11 << 62)) | (0b10 << 62));
        format!(
            "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
            high >> 32,
            (high >> 16) & 0xFFFF,
            high & 0xFFFF,
            low >> 48,
            low & 0xFFFF_FFFF_FFFF
        )
    }

    /// The five characters behind a `generateName`.
    pub(crate) fn suffix(&mut self) -> String {
        let mut bits = self.next();
        let length = ALPHABET.len() as u64;
        (0..5)
            .map(|_| {
                let at = bits % length;
                bits /= length;
                char::from(ALPHABET[usize::try_from(at).unwrap_or_default()])
            })
            .collect()
    }
}
