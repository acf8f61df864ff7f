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
    /// Nothing is asked of it; the figure is for comparison over time.
    Open,
}

impl Goal {
    /// Whether a figure meets it, and the line's end.
    fn judge(self, figure: f64) -> (bool, String) {
        let (met, wanted) = match self {
            Goal::AtLeast(least) => (figure >= least, format!("at least {least}")),
            Goal::AtMost(most) => (figure <= most, format!("at most {most}")),
            Goal::Open => return (true, String::new()),
        };
        (met, format!("goal {wanted:<14} {}", if met { "met" } else { "MISSED" }))
    }
}

/// One line: a figure of ours beside the yardstick's, taken in pairs, and the median of the ratios.
/// Tells whether the goal was met.
pub fn pair(name: &str, unit: &str, ours: &[f64], theirs: &[f64], goal: Goal) -> bool {
    let ratio = median(ours.iter().zip(theirs).map(|(a, b)| a / b).collect());
    let (met, judged) = goal.judge(ratio);
    println!(
        "{name:<42} {:>12.2} {unit:<12} yardstick {:>12.2}   ratio {ratio:>6.2}   {judged}",
        median(ours.to_vec()),
        median(theirs.to_vec()),
    );
    met
}

/// One line: a figure of ours alone.
pub fn single(name: &str, unit: &str, ours: f64, goal: Goal) -> bool {
    let (met, judged) = goal.judge(ours);
    println!("{name:<42} {ours:>12.2} {unit:<12} {:>42}{judged}", "");
    met
}

/// One line: a figure at growing sizes, as ratios to the first.
pub fn curve(name: &str, unit: &str, points: &[(u64, f64)]) {
    let Some((first, base)) = points.first() else { return };
    let rest: Vec<String> = points[1..].iter().map(|(size, figure)| format!("{size}: {:.2}", figure / base)).collect();
    println!("{name:<42} {first}: {base:.1} {unit} = 1   {}", rest.join("   "));
}
