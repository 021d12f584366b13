/// So often in a row something has to have gone well before it counts as usual.
const USUAL: u32 = 16;

/// ... and so often at most, after it has disappointed.
const MOST: u32 = 16_384;

/// What a disappointment costs, in things that went well: one among so many changes nothing.
const PRICE: u32 = 4;

/// Something that does harm when it disappoints is forgiven after so many times that it went well.
const WARY: u32 = 256;

/// With what it begins to be relied on, and how much may gather.
const TRUST: u32 = 2 * PRICE;
const MOST_TRUST: u32 = 8 * PRICE;

/// Says whether something usually goes well, so that it is worth to rely on it. It is relied on until it
/// has disappointed too often; after that it has to go well twice as often as before to be relied on
/// again, until it does go well.
#[derive(Debug)]
pub struct Habit {
    streak: u32,
    needed: u32,
    trust: u32,
    /// How often it went well since it was relied on, and how often it has to be forgiven.
    went_well: u32,
    forgives_after: u32,
}

impl Default for Habit {
    fn default() -> Self {
        Habit::new(USUAL, 1)
    }
}

impl Habit {
    /// Of something that can do harm.
    pub fn wary() -> Self {
        Habit::new(USUAL, WARY)
    }

    fn new(needed: u32, forgives_after: u32) -> Self {
        Habit { streak: 0, needed, trust: TRUST, went_well: 0, forgives_after }
    }

    /// It went so, and nobody relied on it.
    pub fn note(&mut self, well: bool) {
        self.streak = if well { self.streak.saturating_add(1) } else { 0 };
    }

    /// Whether it usually goes well.
    pub fn is_usual(&self) -> bool {
        self.streak >= self.needed
    }

    /// Somebody relied on it, and it went so.
    pub fn proved(&mut self, well: bool) {
        if well {
            self.trust = (self.trust + 1).min(MOST_TRUST);
            self.went_well = self.went_well.wrapping_add(1);
            if self.went_well.is_multiple_of(self.forgives_after) {
                self.needed = (self.needed / 2).max(USUAL);
            }
            return;
        }
        self.trust = self.trust.saturating_sub(PRICE);
        if self.trust == 0 {
            self.did_harm();
        }
    }

    /// Somebody relied on it, and that once was too often.
    pub fn did_harm(&mut self) {
        *self = Habit::new((self.needed * 2).min(MOST), self.forgives_after);
    }
}
