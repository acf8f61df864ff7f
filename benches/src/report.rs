//! Medians and ratios, printed for a person.

/// The middle of some figures.
#[must_use]
pub fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or(f64::NAN)
}

/// What a ratio should be.
#[derive(Clone, Copy)]
pub enum Goal {
    /// At least this.
    AtLeast(f64),
    /// At most this.
    AtMost(f64),
}

/// One line: a figure of ours beside the yardstick's, taken in pairs, and the median of the ratios.
/// Tells whether the goal was met.
pub fn pair(name: &str, unit: &str, ours: &[f64], theirs: &[f64], goal: Goal) -> bool {
    let ratio = median(ours.iter().zip(theirs).map(|(a, b)| a / b).collect());
    let (met, wanted) = match goal {
        Goal::AtLeast(least) => (ratio >= least, format!("at least {least}")),
        Goal::AtMost(most) => (ratio <= most, format!("at most {most}")),
    };
    println!(
        "{name:<42} {:>12.2} {unit:<12} yardstick {:>12.2}   ratio {ratio:>6.2}   goal {wanted:<14} {}",
        median(ours.to_vec()),
        median(theirs.to_vec()),
        if met { "met" } else { "MISSED" }
    );
    met
}

/// One line: a figure of ours alone.
pub fn single(name: &str, unit: &str, ours: f64, goal: Goal) -> bool {
    let (met, wanted) = match goal {
        Goal::AtLeast(least) => (ours >= least, format!("at least {least}")),
        Goal::AtMost(most) => (ours <= most, format!("at most {most}")),
    };
    println!("{name:<42} {ours:>12.2} {unit:<12} {:>42} goal {wanted:<14} {}", "", if met { "met" } else { "MISSED" });
    met
}
