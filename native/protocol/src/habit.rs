/// So often something has to have gone well before it counts as usual.
const USUAL: u32 = 16;

/// ... and so often at most, after it has disappointed.
const MOST: u32 = 16_384;

/// Says whether something usually goes well, so that it is worth to rely on it. Each time it then does
/// not, it has to go well four times as often as before; each time it does, half as often.
#[derive(Debug)]
pub struct Habit {
    streak: u32,
    needed: u32,
}

impl Default for Habit {
    fn default() -> Self {
        Habit { streak: 0, needed: USUAL }
    }
}

impl Habit {
    /// It went so.
    pub fn note(&mut self, well: bool) {
        self.streak = if well { self.streak.saturating_add(1) } else { 0 };
    }

    /// Whether it usually goes well.
    pub fn is_usual(&self) -> bool {
        self.streak >= self.needed
    }

    /// Somebody relied on it, and it went so.
    pub fn proved(&mut self, well: bool) {
        self.note(well);
        self.needed = if well { self.needed / 2 } else { self.needed * 4 }.clamp(USUAL, MOST);
    }
}
