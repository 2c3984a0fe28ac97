//! The figures, for people.

use std::fmt::Write;

use super::{figures::Figures, goals::GROUPS, options::Plan};

/// The table; what was not measured is left out.
pub(super) fn of(figures: &Figures, plan: &Plan) -> String {
    let mut text = String::new();
    let mut line = |columns: [&str; 5]| {
        let [what, median, range, goal, met] = columns;
        let padded = format!("{what:<44}{median:>10}{range:>20}{goal:>12}  {met}");
        // A String takes everything.
        let _written = writeln!(text, "{}", padded.trim_end());
    };
    line([&format!("Medians, scale {}", plan.json()["scale"]), "", "least – most", "goal", ""]);
    for group in GROUPS {
        let mut any = false;
        for one in *group {
            let goal = one.goal.map_or(String::new(), |goal| goal.to_string());
            if let (Some(median), Some((least, most))) = (figures.median(one.key), figures.range(one.key)) {
                let met = one.goal.map_or("", |goal| if goal.is_met_by(median) { "met" } else { "not met" });
                let range = format!("{} – {}", short(least), short(most));
                line([one.text, &short(median), &range, &goal, met]);
                any = true;
            }
        }
        if any {
            line([""; 5]);
        }
    }
    text
}

/// As many digits as one reads.
fn short(figure: f64) -> String {
    match figure.abs() {
        0.0 => "0".into(),
        1000.0.. => format!("{figure:.0}"),
        100.0.. => format!("{figure:.1}"),
        1.0.. => format!("{figure:.2}"),
        _ => format!("{figure:.3}"),
    }
}
