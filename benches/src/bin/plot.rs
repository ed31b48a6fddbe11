//! Draws what `make bench` measured: `plot RESULTS.json DIRECTORY` writes one SVG for each chart.
//!
//! The results are a list of charts: `{"name", "title", "unit", "bars": [{"label", "value"}]}`, or with
//! `"lines": [{"label", "points": [[x, value]]}]`. Values differ by powers of ten, so their axis is logarithmic; each bar
//! carries its number.

use std::error::Error;
use std::path::Path;
use std::process::ExitCode;

use plotters::prelude::*;
use serde::Deserialize;

#[derive(Deserialize)]
struct Chart {
    name: String,
    title: String,
    unit: String,
    #[serde(default)]
    bars: Vec<Bar>,
    #[serde(default)]
    lines: Vec<Line>,
}

#[derive(Deserialize)]
struct Bar {
    label: String,
    value: f64,
}

#[derive(Deserialize)]
struct Line {
    label: String,
    points: Vec<(f64, f64)>,
}

const WIDTH: u32 = 860;
const HEIGHT: u32 = 480;
const LABELS: u32 = 250;
const ROW: u32 = 30;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [results, directory] = arguments.as_slice() else {
        eprintln!("usage: plot RESULTS.json DIRECTORY");
        return ExitCode::FAILURE;
    };
    match draw_all(Path::new(results), Path::new(directory)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("plot: {error}");
            ExitCode::FAILURE
        }
    }
}

fn draw_all(results: &Path, directory: &Path) -> Result<(), Box<dyn Error>> {
    let charts: Vec<Chart> = serde_json::from_slice(&std::fs::read(results)?)?;
    charts.iter().try_for_each(|chart| {
        let path = directory.join(format!("{}.svg", chart.name));
        if chart.lines.is_empty() { draw_bars(chart, &path) } else { draw_lines(chart, &path) }
    })
}

fn draw_lines(chart: &Chart, path: &Path) -> Result<(), Box<dyn Error>> {
    let area = SVGBackend::new(path, (WIDTH, HEIGHT)).into_drawing_area();
    area.fill(&WHITE)?;
    let points = || chart.lines.iter().flat_map(|line| &line.points);
    let right = points().map(|(x, _)| *x).fold(0.0, f64::max);
    let least = points().map(|(_, value)| *value).fold(f64::INFINITY, f64::min) / 2.0;
    let most = points().map(|(_, value)| *value).fold(0.0, f64::max) * 2.0;
    let mut plot = ChartBuilder::on(&area)
        .caption(&chart.title, ("sans-serif", 16))
        .margin(12)
        .x_label_area_size(36)
        .y_label_area_size(60)
        .build_cartesian_2d(0.0..right * 1.05, (least..most).log_scale())?;
    plot.configure_mesh()
        .x_desc("users")
        .x_label_formatter(&|x| format!("{x:.0}"))
        .y_desc(format!("{} (logarithmic)", chart.unit))
        .y_label_formatter(&|value| format!("{}", (value * 100.0).round() / 100.0))
        .draw()?;
    for (number, line) in chart.lines.iter().enumerate() {
        let color =
            Palette99::pick(number).stroke_width(if line.label.starts_with("Larder") { 3 } else { 1 });
        plot.draw_series(line.points.iter().map(|point| Circle::new(*point, 3, color.filled())))?;
        plot.draw_series([PathElement::new(line.points.clone(), color)])?
            .label(&line.label)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 20, y)], color));
    }
    plot.configure_series_labels()
        .position(SeriesLabelPosition::UpperLeft)
        .background_style(WHITE.mix(0.8))
        .border_style(BLACK)
        .draw()?;
    area.present()?;
    Ok(())
}

fn draw_bars(chart: &Chart, path: &Path) -> Result<(), Box<dyn Error>> {
    let rows = u32::try_from(chart.bars.len())?;
    let area = SVGBackend::new(path, (WIDTH, 90 + rows * ROW)).into_drawing_area();
    area.fill(&WHITE)?;
    let values = || chart.bars.iter().map(|bar| bar.value).filter(|value| *value > 0.0);
    let least = values().fold(f64::INFINITY, f64::min) / 3.0;
    let most = values().fold(0.0, f64::max) * 6.0;
    let mut plot = ChartBuilder::on(&area)
        .caption(&chart.title, ("sans-serif", 18))
        .margin(12)
        .x_label_area_size(36)
        .y_label_area_size(LABELS)
        .build_cartesian_2d((least..most).log_scale(), (0..rows).into_segmented())?;
    let label = |row: &SegmentValue<u32>| match row {
        SegmentValue::CenterOf(row) => (rows - 1)
            .checked_sub(*row)
            .and_then(|row| chart.bars.get(usize::try_from(row).ok()?))
            .map_or_else(String::new, |bar| bar.label.clone()),
        _ => String::new(),
    };
    plot.configure_mesh()
        .disable_y_mesh()
        .y_labels(chart.bars.len())
        .y_label_formatter(&label)
        .x_desc(format!("{} (logarithmic)", chart.unit))
        .draw()?;
    for (row, bar) in (0..rows).rev().zip(&chart.bars) {
        let ours = bar.label.starts_with("Larder");
        let color = if ours { RGBColor(46, 125, 50) } else { RGBColor(144, 164, 174) };
        let corners =
            [(least, SegmentValue::Exact(row)), (bar.value.max(least), SegmentValue::Exact(row + 1))];
        let mut rectangle = Rectangle::new(corners, color.filled());
        rectangle.set_margin(5, 5, 0, 0);
        let number = (bar.value.max(least) * 1.08, SegmentValue::CenterOf(row));
        plot.draw_series([rectangle])?;
        plot.draw_series([Text::new(format!("{:.3}", bar.value), number, ("sans-serif", 13))])?;
    }
    area.present()?;
    Ok(())
}
