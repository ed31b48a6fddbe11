//! Draws what `make bench` measured: `plot RESULTS.json DIRECTORY` writes one SVG for each chart.
//!
//! The results are a list of charts: `{"name", "title", "unit", "bars": [{"label", "value"}]}`, or
//! with `"across", "lines": [{"label", "points": [[x, y]]}]` in place of the bars. Values differ by
//! powers of ten, so the axes are logarithmic and each bar carries its number.

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
    #[serde(flatten)]
    content: Content,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Content {
    Bars { bars: Vec<Bar> },
    Lines { across: String, lines: Vec<Line> },
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
const HEIGHT: u32 = 420;
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
        match &chart.content {
            Content::Bars { bars } => draw_bars(chart, bars, &path),
            Content::Lines { across, lines } => draw_lines(chart, across, lines, &path),
        }
    })
}

fn draw_lines(chart: &Chart, across: &str, lines: &[Line], path: &Path) -> Result<(), Box<dyn Error>> {
    let area = SVGBackend::new(path, (WIDTH, HEIGHT)).into_drawing_area();
    area.fill(&WHITE)?;
    let range = |of: fn(&(f64, f64)) -> f64| {
        let values = lines.iter().flat_map(|line| &line.points).map(of).filter(|value| *value > 0.0);
        values.fold((f64::INFINITY, 0.0), |(least, most), value| (value.min(least), value.max(most)))
    };
    let ((left, right), (low, high)) = (range(|point| point.0), range(|point| point.1));
    let mut plot = ChartBuilder::on(&area)
        .caption(&chart.title, ("sans-serif", 18))
        .margin(12)
        .x_label_area_size(40)
        .y_label_area_size(70)
        .build_cartesian_2d((left..right).log_scale(), (low / 1.5..high * 1.5).log_scale())?;
    plot.configure_mesh().x_desc(across).y_desc(&chart.unit).draw()?;
    for (number, line) in lines.iter().enumerate() {
        let width = if line.label.starts_with("Larder") { 3 } else { 1 };
        let style = Palette99::pick(number).stroke_width(width);
        plot.draw_series(LineSeries::new(line.points.iter().copied(), style))?
            .label(&line.label)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 20, y)], style));
    }
    plot.configure_series_labels()
        .position(SeriesLabelPosition::UpperLeft)
        .background_style(WHITE.mix(0.8))
        .draw()?;
    area.present()?;
    Ok(())
}

fn draw_bars(chart: &Chart, bars: &[Bar], path: &Path) -> Result<(), Box<dyn Error>> {
    let rows = u32::try_from(bars.len())?;
    let area = SVGBackend::new(path, (WIDTH, 90 + rows * ROW)).into_drawing_area();
    area.fill(&WHITE)?;
    let values = || bars.iter().map(|bar| bar.value).filter(|value| *value > 0.0);
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
            .and_then(|row| bars.get(usize::try_from(row).ok()?))
            .map_or_else(String::new, |bar| bar.label.clone()),
        _ => String::new(),
    };
    plot.configure_mesh()
        .disable_y_mesh()
        .y_labels(bars.len())
        .y_label_formatter(&label)
        .x_desc(format!("{} (logarithmic)", chart.unit))
        .draw()?;
    for (row, bar) in (0..rows).rev().zip(bars) {
        let color =
            if bar.label.starts_with("Larder") { RGBColor(46, 125, 50) } else { RGBColor(144, 164, 174) };
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
