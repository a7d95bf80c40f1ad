//! Line charts as SVG, with logarithmic axes: legible alone, on any background.

use std::fmt::Write as _;

/// One line of a chart.
pub(super) struct Series {
    pub(super) name: String,
    /// Its place on the x axis, and its value; both positive.
    pub(super) points: Vec<(f64, f64)>,
}

pub(super) struct Chart<'a> {
    pub(super) title: &'a str,
    pub(super) y_label: &'a str,
    /// Where the x axis has a mark, and what it says.
    pub(super) x_ticks: Vec<(f64, String)>,
    /// Whether distances on the x axis are those of the logarithms.
    pub(super) x_log: bool,
    pub(super) series: Vec<Series>,
    pub(super) width: f64,
    pub(super) height: f64,
}

const LEFT: f64 = 64.0;
const TOP: f64 = 44.0;
const BOTTOM: f64 = 44.0;
const FONT: &str = "font-family=\"system-ui, -apple-system, 'Segoe UI', Helvetica, Arial, sans-serif\"";
const TEXT: &str = "#1f2328";
const MUTED: &str = "#57606a";

/// Colour, width and dashes by name: the same contestant looks the same in every chart.
fn style(name: &str) -> (&'static str, f64, &'static str) {
    match name {
        "memcpy" => ("#24292f", 2.0, "7 5"),
        "memchr" => ("#8c959f", 1.6, "2 4"),
        "natsbridge" | "natsbridge-avx512" => ("#0550d6", 3.4, ""),
        "natsbridge-shared" => ("#2f81f7", 2.0, "9 3"),
        "natsbridge-lazy" => ("#4c93ff", 1.8, "5 3"),
        "natsbridge-avx2" => ("#2f81f7", 2.2, "9 3"),
        "natsbridge-portable" => ("#79b8ff", 1.8, "4 3"),
        "natsbridge-scalar" => ("#a5c8f5", 1.6, "2 3"),
        "serde_json+base64" | "base64" => ("#c4320a", 2.0, ""),
        "serde_json+base64-simd" | "serde_json-borrowed+base64-simd" | "base64-simd" => ("#b7791f", 2.0, ""),
        "sonic-rs+base64-turbo" | "base64-turbo" => ("#1a7f37", 2.0, ""),
        "simd-json+base64-simd" => ("#8250df", 2.0, ""),
        "node" => ("#7d8a00", 1.8, "8 3 2 3"),
        "python" => ("#bf3989", 1.8, "8 3 2 3"),
        "raw" | "raw async-nats" => ("#24292f", 2.2, "7 5"),
        _ => ("#57606a", 1.8, ""),
    }
}

impl Chart<'_> {
    pub(super) fn svg(&self) -> String {
        let legend =
            14.0 + self.series.iter().map(|one| one.name.len()).max().unwrap_or(0) as f64 * 7.4 + 34.0;
        let right = self.width - legend;
        let bottom = self.height - BOTTOM;
        let values = || self.series.iter().flat_map(|one| one.points.iter().map(|point| point.1));
        let (low, high) = values().fold((f64::MAX, f64::MIN), |(low, high), y| (low.min(y), high.max(y)));
        if !(low > 0.0 && high.is_finite()) {
            return String::new();
        }
        let (low, high) = bounds(low, high);
        let xs: Vec<f64> = self.x_ticks.iter().map(|(x, _)| self.place(*x)).collect();
        let (first, last) = (xs.first().copied().unwrap_or(0.0), xs.last().copied().unwrap_or(1.0));
        let x = |value: f64| {
            LEFT + 14.0 + (self.place(value) - first) / (last - first).max(1e-9) * (right - LEFT - 28.0)
        };
        let y = |value: f64| bottom - (value / low).ln() / (high / low).ln() * (bottom - TOP);

        let mut out = String::new();
        let (width, height) = (self.width, self.height);
        let _ = write!(
            out,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" \
             height=\"{height}\" role=\"img\" aria-label=\"{title}\" {FONT}>\
             <rect width=\"{width}\" height=\"{height}\" fill=\"#ffffff\"/>\
             <text x=\"{LEFT}\" y=\"18\" font-size=\"14\" font-weight=\"600\" fill=\"{TEXT}\">{title}</text>\
             <text x=\"{LEFT}\" y=\"35\" font-size=\"11.5\" fill=\"{MUTED}\">{label}</text>",
            title = escape(self.title),
            label = escape(self.y_label),
        );
        for (value, major) in ticks(low, high) {
            let at = y(value);
            let colour = if major { "#c9d1d9" } else { "#eef1f4" };
            let _ = write!(
                out,
                "<line x1=\"{LEFT}\" x2=\"{right:.1}\" y1=\"{at:.1}\" y2=\"{at:.1}\" stroke=\"{colour}\"/>"
            );
            if major {
                let _ = write!(
                    out,
                    "<text x=\"{:.1}\" y=\"{:.1}\" font-size=\"12\" text-anchor=\"end\" fill=\"{TEXT}\">{}</text>",
                    LEFT - 8.0,
                    at + 4.0,
                    number(value)
                );
            }
        }
        let mut free = f64::MIN; // from where on there is room in the first row
        for (value, label) in &self.x_ticks {
            let at = x(*value);
            let half = label.len() as f64 * 3.6;
            let row = if at - half < free { 31.0 } else { 17.0 };
            if row < 20.0 {
                free = at + half + 8.0;
            }
            let _ = write!(
                out,
                "<line x1=\"{at:.1}\" x2=\"{at:.1}\" y1=\"{TOP}\" y2=\"{bottom}\" stroke=\"#eef1f4\"/>\
                 <text x=\"{at:.1}\" y=\"{:.1}\" font-size=\"12\" text-anchor=\"middle\" fill=\"{TEXT}\">{}</text>",
                bottom + row,
                escape(label)
            );
        }
        let _ = write!(
            out,
            "<line x1=\"{LEFT}\" x2=\"{right:.1}\" y1=\"{bottom}\" y2=\"{bottom}\" stroke=\"#57606a\"/>"
        );
        // Our own line last, so that it lies on top.
        let mut order: Vec<&Series> = self.series.iter().collect();
        order.sort_by_key(|one| one.name.starts_with("natsbridge"));
        for one in order {
            let (colour, stroke, dash) = style(&one.name);
            let points: Vec<_> =
                one.points.iter().map(|point| format!("{:.1},{:.1}", x(point.0), y(point.1))).collect();
            let _ = write!(
                out,
                "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"{stroke}\" \
                 stroke-dasharray=\"{dash}\" stroke-linejoin=\"round\" stroke-linecap=\"round\"/>",
                points.join(" ")
            );
            for point in &one.points {
                let _ = write!(
                    out,
                    "<circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"{:.1}\" fill=\"{colour}\"><title>{}: {}</title></circle>",
                    x(point.0),
                    y(point.1),
                    stroke.max(2.2),
                    escape(&one.name),
                    number(point.1)
                );
            }
        }
        self.legend(&mut out, right + 16.0, y);
        out + "</svg>\n"
    }

    /// Names at the right, in the order of the lines' ends and near them, never on each other.
    fn legend(&self, out: &mut String, left: f64, y: impl Fn(f64) -> f64) {
        const STEP: f64 = 18.0;
        let mut entries: Vec<(&Series, f64)> =
            self.series.iter().filter_map(|one| Some((one, y(one.points.last()?.1)))).collect();
        entries.sort_by(|a, b| a.1.total_cmp(&b.1));
        let lowest = self.height - BOTTOM;
        for at in 0..entries.len() {
            let floor = if at == 0 { TOP } else { entries[at - 1].1 + STEP };
            entries[at].1 = entries[at].1.max(floor);
        }
        for at in (0..entries.len()).rev() {
            let ceiling = entries.get(at + 1).map_or(lowest, |next| next.1 - STEP);
            entries[at].1 = entries[at].1.min(ceiling);
        }
        for (one, at) in entries {
            let (colour, stroke, dash) = style(&one.name);
            let weight = if one.name.starts_with("natsbridge") { 600 } else { 400 };
            let _ = write!(
                out,
                "<line x1=\"{left:.1}\" x2=\"{:.1}\" y1=\"{at:.1}\" y2=\"{at:.1}\" stroke=\"{colour}\" \
                 stroke-width=\"{stroke}\" stroke-dasharray=\"{dash}\"/>\
                 <text x=\"{:.1}\" y=\"{:.1}\" font-size=\"12\" font-weight=\"{weight}\" fill=\"{TEXT}\">{}</text>",
                left + 22.0,
                left + 28.0,
                at + 4.0,
                escape(&one.name)
            );
        }
    }

    fn place(&self, x: f64) -> f64 {
        if self.x_log { x.ln() } else { x }
    }
}

/// Rounded outwards to 1, 2 or 5 times a power of ten.
fn bounds(low: f64, high: f64) -> (f64, f64) {
    let steps = |value: f64| {
        let decade = 10f64.powf(value.log10().floor());
        [1.0, 2.0, 5.0, 10.0].map(|step| step * decade)
    };
    let below = steps(low * 0.97).into_iter().rfind(|step| *step <= low * 0.97);
    let above = steps(high * 1.03).into_iter().find(|step| *step >= high * 1.03);
    (below.unwrap_or(low), above.unwrap_or(high))
}

/// Values with a line across, and whether they have a number too.
fn ticks(low: f64, high: f64) -> Vec<(f64, bool)> {
    let decades = (high / low).log10();
    let mut all = Vec::new();
    let mut decade = 10f64.powf(low.log10().floor());
    while decade <= high {
        for step in 1..10 {
            let value = decade * f64::from(step);
            if value >= low * 0.999 && value <= high * 1.001 {
                let major = match step {
                    1 => true,
                    2 | 5 => decades < 2.6,
                    _ => false,
                };
                if major || decades < 3.5 {
                    all.push((value, major));
                }
            }
        }
        decade *= 10.0;
    }
    all
}

/// Three digits that matter, and thousands apart.
pub(super) fn number(value: f64) -> String {
    let decimals = match value.abs() {
        v if v >= 99.95 => 0,
        v if v >= 9.995 => 1,
        v if v >= 0.995 => 2,
        v if v >= 0.0995 => 3,
        _ => 4,
    };
    let text = format!("{value:.decimals$}");
    let (whole, fraction) =
        text.split_once('.').map_or((text.as_str(), ""), |(whole, fraction)| (whole, fraction));
    let fraction = fraction.trim_end_matches('0');
    let mut out = String::new();
    for (at, digit) in whole.chars().enumerate() {
        if at > 0 && (whole.len() - at) % 3 == 0 && whole.starts_with(|c: char| c.is_ascii_digit()) {
            out.push(',');
        }
        out.push(digit);
    }
    if fraction.is_empty() { out } else { out + "." + fraction }
}

pub(super) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        let cases =
            [(0.0123, "0.0123"), (0.5, "0.5"), (1.0, "1"), (35.2, "35.2"), (1234.4, "1,234"), (99.96, "100")];
        for (value, text) in cases {
            assert_eq!(number(value), text);
        }
        assert_eq!(number(1_234_567.0), "1,234,567");
    }

    #[test]
    fn bounds_enclose_the_values() {
        for (low, high) in [(0.13, 45.0), (1.0, 1.0), (700.0, 90_000.0)] {
            let (below, above) = bounds(low, high);
            assert!(below < low && above > high, "{below} {above}");
            assert!(!ticks(below, above).is_empty());
        }
    }

    #[test]
    fn names_of_the_legend_never_overlap() {
        let series = |name: &str, y| Series { name: name.into(), points: vec![(64.0, 1.0), (1024.0, y)] };
        let chart = Chart {
            title: "t",
            y_label: "GB/s",
            x_ticks: vec![(64.0, "64 B".into()), (1024.0, "1 KiB".into())],
            x_log: true,
            series: vec![series("a", 1.0), series("b", 1.001), series("c", 1.002), series("d", 9.0)],
            width: 700.0,
            height: 300.0,
        };
        let svg = chart.svg();
        let mut at: Vec<f64> = svg
            .split("<text x=")
            .filter(|text| {
                ["a", "b", "c", "d"].iter().any(|name| {
                    text.ends_with(&format!(">{name}</text>")) || text.contains(&format!(">{name}</text>"))
                })
            })
            .filter_map(|text| text.split("y=\"").nth(1)?.split('"').next()?.parse().ok())
            .collect();
        at.sort_by(f64::total_cmp);
        assert_eq!(at.len(), 4);
        assert!(at.windows(2).all(|pair| pair[1] - pair[0] > 17.0), "{at:?}");
    }
}
