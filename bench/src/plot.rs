//! Draws a run as SVG: what each server costs, as bars, in some of the cases.

use std::fmt::Write as _;

use crate::data::{At, Data, Outcome};
use crate::servers::{FLOOR, ROOMFUL};
use crate::spread::number;

/// What is drawn, two beside each other: the case, its name in the picture, and what is counted.
const PANELS: &[[&str; 3]] = &[
    ["echo-16", "Event with ack", "µs of CPU per event, 100 clients, 16 in flight"],
    ["room-1000-4", "Event to a room of 1,000", "µs of CPU per delivery, 4 in flight"],
    ["connect", "Connect and join", "µs of CPU per client"],
    ["idle-10000", "Idle connection", "KiB resident, of 10,000"],
];
/// The servers, and their names in the picture.
const SERVERS: &[[&str; 2]] = &[
    [ROOMFUL, "Roomful"],
    ["socketioxide", "socketioxide"],
    ["bun", "Socket.IO, Bun"],
    ["node", "Socket.IO, Node"],
    ["python", "python-socketio"],
    [FLOOR, "bare server"],
];

const WIDTH: usize = 860;
const MARGIN: usize = 28;
const GAP: usize = 32;
const PANEL_WIDTH: usize = (WIDTH - 2 * MARGIN - GAP) / 2;
const HEAD: usize = 76;
const FOOT: usize = 52;
/// Of a panel, above its bars and below them.
const PANEL_HEAD: usize = 50;
const PANEL_FOOT: usize = 24;
const ROW: usize = 23;
const BAR: usize = 15;
const LABEL_WIDTH: usize = 112;
/// The longest bar; behind it is the value.
const BAR_WIDTH: usize = PANEL_WIDTH - LABEL_WIDTH - 92;

/// Readable where pages are light and where they are dark.
const STYLE: &str = "
  text { font: 13px system-ui, -apple-system, 'Segoe UI', 'Noto Sans', Helvetica, Arial, sans-serif; fill: #1f2328 }
  .title { font-size: 19px; font-weight: 600 }
  .name { font-size: 15px; font-weight: 600 }
  .ours { font-weight: 600 }
  .dim { fill: #59636e; font-size: 12px }
  .page { fill: #ffffff; stroke: #d1d9e0 }
  .bar { fill: #a9b4c0 }
  .bar.ours { fill: #0969da }
  .bar.bare { fill: none; stroke: #8c96a1 }
  .axis { stroke: #d1d9e0 }
  .cut { stroke: #ffffff; stroke-width: 3 }
  @media (prefers-color-scheme: dark) {
    text { fill: #f0f6fc }
    .dim { fill: #9198a1 }
    .page { fill: #0d1117; stroke: #3d444d }
    .bar { fill: #4c5661 }
    .bar.ours { fill: #4493f8 }
    .bar.bare { fill: none; stroke: #7d8690 }
    .axis { stroke: #3d444d }
    .cut { stroke: #0d1117 }
  }";

/// The picture.
pub(crate) fn draw(data: &Data) -> String {
    let panel_height = PANEL_HEAD + SERVERS.len() * ROW + PANEL_FOOT;
    let height = HEAD + PANELS.len().div_ceil(2) * panel_height + FOOT - PANEL_FOOT;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" \
         width=\"{WIDTH}\" height=\"{height}\" role=\"img\">\n\
         <title>What Roomful costs beside its peers</title>\n<style>{STYLE}\n</style>\n\
         <rect class=\"page\" x=\"0.5\" y=\"0.5\" width=\"{}\" height=\"{}\" rx=\"8\"/>\n",
        WIDTH - 1,
        height - 1,
    );
    text(&mut svg, MARGIN, 38, "title", "What the server costs: shorter is better");
    let legend = "Medians, and how many times Roomful's each is. The bare server answers with fixed \
                  bytes and does nothing else.";
    text(&mut svg, MARGIN, 58, "dim", legend);
    for (at, panel) in PANELS.iter().enumerate() {
        let (column, row) = (at % 2, at / 2);
        let x = MARGIN + column * (PANEL_WIDTH + GAP);
        draw_panel(&mut svg, x, HEAD + row * panel_height, panel, data);
    }
    text(&mut svg, MARGIN, height - 19, "dim", &source(data));
    svg.push_str("</svg>\n");
    svg
}

fn draw_panel(svg: &mut String, x: usize, y: usize, panel: &[&str; 3], data: &Data) {
    let [case, name, unit] = panel;
    text(svg, x, y + 20, "name", name);
    text(svg, x, y + 38, "dim", unit);
    let Some((outcome, figure)) =
        data.case(case).and_then(|outcome| Some((outcome, outcome.first()?)))
    else {
        return text(svg, x, y + PANEL_HEAD + BAR, "dim", "not measured");
    };
    let median = |server| data.spread(At { case, server, figure }).map(|spread| spread.median);
    let scale = scale(SERVERS.iter().filter_map(|[server, _]| median(server)).collect());
    for (at, [server, label]) in SERVERS.iter().enumerate() {
        let row = Row { x, y: y + PANEL_HEAD + at * ROW, server, label };
        match median(server) {
            Some(value) => row.draw(svg, value, scale, median(ROOMFUL)),
            None => row.draw_missing(svg, outcome),
        }
    }
    let (x, top) = (x + LABEL_WIDTH, y + PANEL_HEAD - 3);
    let bottom = top + SERVERS.len() * ROW - (ROW - BAR) + 6;
    let _ = writeln!(
        svg,
        "<line class=\"axis\" x1=\"{x}.5\" y1=\"{top}\" x2=\"{x}.5\" y2=\"{bottom}\"/>"
    );
}

/// What the longest bar stands for. A value far above all others is cut there, or nothing else
/// could be seen.
fn scale(mut values: Vec<f64>) -> f64 {
    values.sort_by(|one, other| other.total_cmp(one));
    match *values.as_slice() {
        [longest, second, ..] if longest > 2.0 * second => second * 1.25,
        [longest, ..] => longest,
        [] => 1.0,
    }
}

/// One server in a panel.
struct Row<'a> {
    x: usize,
    y: usize,
    server: &'a str,
    label: &'a str,
}

impl Row<'_> {
    /// A bar and its value, with how many times ours that is.
    fn draw(&self, svg: &mut String, value: f64, scale: f64, ours: Option<f64>) {
        self.draw_label(svg);
        let (class, x, y) = (self.class(), self.x + LABEL_WIDTH + 1, self.y);
        let width = (BAR_WIDTH as f64 * (value / scale).min(1.0)).max(1.5);
        let _ = writeln!(
            svg,
            "<rect class=\"bar {class}\" x=\"{x}\" y=\"{y}\" width=\"{width:.1}\" height=\"{BAR}\"/>"
        );
        if value > scale {
            let (left, top, bottom) = (x + BAR_WIDTH - 16, y - 2, y + BAR + 2);
            let right = left + 6;
            let _ = writeln!(
                svg,
                "<line class=\"cut\" x1=\"{left}\" y1=\"{bottom}\" x2=\"{right}\" y2=\"{top}\"/>"
            );
        }
        let times = ours.filter(|_| class != "ours").map_or(String::new(), |ours| {
            format!("<tspan class=\"dim\" dx=\"6\">{}×</tspan>", times(value / ours))
        });
        let _ = writeln!(
            svg,
            "<text class=\"{class}\" x=\"{:.1}\" y=\"{}\">{}{times}</text>",
            x as f64 + width + 6.0,
            y + 12,
            number(value)
        );
    }

    fn draw_missing(&self, svg: &mut String, outcome: &Outcome) {
        self.draw_label(svg);
        let failed = outcome.failure(self.server).is_some();
        let why = if failed { "failed: see the results" } else { "not measured" };
        text(svg, self.x + LABEL_WIDTH + 7, self.y + 12, "dim", why);
    }

    fn draw_label(&self, svg: &mut String) {
        text(svg, self.x, self.y + 12, self.class(), self.label);
    }

    fn class(&self) -> &'static str {
        match self.server {
            ROOMFUL => "ours",
            FLOOR => "bare",
            _ => "peer",
        }
    }
}

/// How many times, in as few digits as tell it.
fn times(ratio: f64) -> String {
    if ratio < 10.0 { format!("{ratio:.1}") } else { format!("{ratio:.0}") }
}

fn source(data: &Data) -> String {
    let Data { date, machine, .. } = data;
    let day = date.split(' ').next().unwrap_or_default();
    format!(
        "bench/RESULTS.md, {day}: medians of {}, servers on one core of {}",
        data.measured(),
        machine.processor
    )
}

fn text(svg: &mut String, x: usize, y: usize, class: &str, text: &str) {
    let text = text.replace('&', "&amp;").replace('<', "&lt;");
    let _ = writeln!(svg, "<text class=\"{class}\" x=\"{x}\" y=\"{y}\">{text}</text>");
}
