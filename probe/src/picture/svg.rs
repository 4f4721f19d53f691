//! A picture as SVG.

use std::io::{self, Write};

use super::{Picture, Weight};

pub(crate) fn write(picture: &Picture, out: &mut dyn Write) -> io::Result<()> {
    let (width, height) = (picture.width, picture.height);
    writeln!(
        out,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
         viewBox=\"0 0 {width} {height}\" font-family=\"monospace\" font-size=\"12\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>"
    )?;
    for text in &picture.texts {
        let anchor = if text.is_to_the_left { "end" } else { "start" };
        let style = match text.weight {
            Weight::Bold => " font-weight=\"bold\"",
            Weight::Plain => "",
            Weight::Dim => " fill=\"#555555\"",
        };
        let (x, y, content) = (text.x, text.y, escaped(&text.content));
        writeln!(
            out,
            "<text x=\"{x}\" y=\"{y}\" text-anchor=\"{anchor}\"{style}>{content}</text>"
        )?;
    }
    for bar in &picture.bars {
        writeln!(
            out,
            "<rect x=\"{}\" y=\"{}\" width=\"{:.1}\" height=\"{}\" fill=\"#2f7ed8\"/>",
            bar.x, bar.y, bar.width, bar.height
        )?;
    }
    writeln!(out, "</svg>")
}

fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            // Not allowed in XML, escaped or not.
            control if control.is_control() => safe.push('\u{fffd}'),
            other => safe.push(other),
        }
    }
    safe
}
