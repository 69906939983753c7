//! Draws `docs/scaling.svg` from what the bench `scaling` measures:
//! `cargo bench -p scope-runtime --bench scaling -- --json | cargo run -p scope-tests --bin plot -- docs/scaling.svg`.

use std::error::Error;
use std::io::{self, BufRead as _};

use plotters::prelude::*;
use serde_json::Value;

/// A part of the plot: its title, the job of the bench, and the cases that are drawn, the library's first.
const PANELS: [(&str, &str, &str, &[&str]); 4] = [
    (
        "spawn and join children: ns per child",
        "children",
        "spawn",
        &["spawn!, boundary waits", "spawn!, handles awaited", "JoinSet", "tokio::spawn, JoinHandle"],
    ),
    (
        "cancel parked children: ns per child",
        "children",
        "cancel",
        &["scope!", "JoinSet::shutdown", "shared token, TaskTracker", "abort each, await each"],
    ),
    ("enter and leave: ns per level", "levels", "enter", &["scope!", "scope!, 60 s", "tokio timeouts, 60 s"]),
    ("poll: ns per level", "levels", "poll", &["scope!", "scope!, 60 s", "tokio timeouts, 60 s"]),
];

const COLOURS: [RGBColor; 4] =
    [RGBColor(200, 30, 30), RGBColor(230, 140, 20), RGBColor(30, 90, 170), RGBColor(120, 120, 120)];

/// How much there was, and how many nanoseconds each took.
type Points = Vec<(f64, f64)>;

fn points(rows: &[Value], job: &str, case: &str) -> Points {
    rows.iter()
        .filter(|row| row["job"] == job && row["rt"] == "ct" && row["case"] == case)
        .filter_map(|row| Some((row["n"].as_f64()?, row["ns"].as_f64()?)))
        .collect()
}

fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::args().nth(1).ok_or("usage: plot FILE.svg < ROWS.json")?;
    let rows: Vec<Value> =
        io::stdin().lock().lines().filter_map(|line| serde_json::from_str(&line.ok()?).ok()).collect();
    let root = SVGBackend::new(&path, (1000, 720)).into_drawing_area();
    root.fill(&WHITE)?;
    for (area, (title, unit, job, cases)) in root.split_evenly((2, 2)).iter().zip(PANELS) {
        let lines: Vec<(&str, Points)> = cases.iter().map(|&case| (case, points(&rows, job, case))).collect();
        let all = || lines.iter().flat_map(|(_, points)| points);
        let most = all().map(|point| point.0).fold(1.0, f64::max);
        let slowest = all().map(|point| point.1).fold(1.0, f64::max);
        let mut chart = ChartBuilder::on(area)
            .caption(title, ("sans-serif", 18))
            .margin(12)
            .margin_right(32)
            .x_label_area_size(34)
            .y_label_area_size(44)
            .build_cartesian_2d((1.0..most * 1.1).log_scale(), 0.0..slowest * 1.1)?;
        chart
            .configure_mesh()
            .x_desc(unit)
            .x_labels(6)
            .x_label_formatter(&f64::to_string)
            .y_label_formatter(&f64::to_string)
            .light_line_style(WHITE)
            .draw()?;
        for ((case, points), colour) in lines.into_iter().zip(COLOURS) {
            chart.draw_series(points.iter().map(|&point| Circle::new(point, 3, colour.filled())))?;
            chart
                .draw_series(LineSeries::new(points, colour.stroke_width(2)))?
                .label(case)
                .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], colour.stroke_width(2)));
        }
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::UpperMiddle)
            .background_style(WHITE.mix(0.8))
            .border_style(WHITE)
            .draw()?;
    }
    root.present()?;
    Ok(())
}
