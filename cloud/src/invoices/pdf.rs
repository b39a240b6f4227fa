//! A small writer of PDF 1.4 (ISO 32000-1): pages of real text in the two faces that every reader has.
//!
//! No face is embedded and no text compressed: an invoice is a few kilobytes, and its text can be searched and
//! copied. A picture is compressed, and written in hexadecimal digits: the file stays text. What the faces' WinAnsi encoding has no letter for is written as `?`.

use std::fmt::Write as _;
use std::io::Write as _;

use flate2::Compression;
use flate2::write::ZlibEncoder;
use qrcode::{Color, EcLevel, QrCode};

use crate::pictures::Pixels;

/// A page is A4, in points from its lower left corner.
pub const WIDTH: u32 = 595;
/// The height of a page.
pub const HEIGHT: u32 = 842;

/// A face.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Face {
    /// Helvetica.
    Plain,
    /// Helvetica, bold.
    Bold,
}

/// What stands on a page.
#[derive(Clone, Default, Debug)]
pub struct PageText {
    content: String,
}

impl PageText {
    /// Writes text that begins at `x`, on the line at `y`.
    pub fn left(&mut self, (x, y): (u32, u32), face: Face, size: u32, text: &str) {
        let font = match face {
            Face::Plain => "F1",
            Face::Bold => "F2",
        };
        let text = escaped(text);
        let _ = writeln!(
            self.content,
            "BT /{font} {size} Tf {x} {y} Td ({text}) Tj ET"
        );
    }

    /// Writes an amount that ends at `x`: digits and their marks, whose widths are the same in both faces.
    pub fn right(&mut self, (x, y): (u32, u32), face: Face, size: u32, amount: &str) {
        let thousandths: u32 = amount.chars().map(width).sum();
        let width = (thousandths * size).div_ceil(1000);
        self.left((x.saturating_sub(width), y), face, size, amount);
    }

    /// Draws the document's picture with its lower left corner at `(x, y)`.
    pub fn picture(&mut self, (x, y): (u32, u32), (width, height): (u32, u32)) {
        let _ = writeln!(self.content, "q {width} 0 0 {height} {x} {y} cm /Im1 Do Q");
    }

    /// Draws a thin line across, at `y`.
    pub fn rule(&mut self, (from, to): (u32, u32), y: u32) {
        let _ = writeln!(self.content, "0.5 w {from} {y} m {to} {y} l S");
    }
}

impl PageText {
    /// Draws `text` as a QR code whose lower left corner is `(x, y)`; how many points it is wide and high. `None` when
    /// it is too long for one.
    pub fn code(&mut self, (x, y): (u32, u32), text: &str) -> Option<u32> {
        let code = QrCode::with_error_correction_level(text, EcLevel::M).ok()?;
        let width = code.width();
        let size = u32::try_from(width).ok()? * MODULE;
        let colours = code.to_colors();
        for (row, modules) in (0u32..).zip(colours.chunks(width)) {
            // Dark modules side by side are one box.
            let mut column = 0;
            while let Some(begins) = modules
                .iter()
                .skip(column)
                .position(|one| *one == Color::Dark)
            {
                let begins = column + begins;
                let dark = modules
                    .iter()
                    .skip(begins)
                    .take_while(|one| **one == Color::Dark);
                let count = dark.count();
                let _ = writeln!(
                    self.content,
                    "{} {} {} {MODULE} re f",
                    x + u32::try_from(begins).ok()? * MODULE,
                    y + size - (row + 1) * MODULE,
                    u32::try_from(count).ok()? * MODULE,
                );
                column = begins + count;
            }
        }
        Some(size)
    }
}

/// Points of one square of a code: a millimetre on paper is read from a hand's distance.
const MODULE: u32 = 3;

/// Thousandths of the size (Adobe's metrics of Helvetica).
fn width(letter: char) -> u32 {
    match letter {
        '.' | ',' | ' ' => 278,
        '-' => 333,
        _ => 556, // digits; nothing else is set to the right
    }
}

/// The document with these pages, and the picture that they draw.
pub fn document(title: &str, pages: &[PageText], picture: Option<&Pixels>) -> Vec<u8> {
    let first = 6;
    let drawn = picture.and_then(drawn);
    let resource = match &drawn {
        Some(_) => format!(" /XObject << /Im1 {} 0 R >>", first + 2 * pages.len()),
        None => String::new(),
    };
    let kids: Vec<String> = (0..pages.len())
        .map(|page| format!("{} 0 R", first + 2 * page))
        .collect();
    let face = |name: &str| {
        format!("<< /Type /Font /Subtype /Type1 /BaseFont /{name} /Encoding /WinAnsiEncoding >>")
    };
    let mut objects = vec![
        "<< /Type /Catalog /Pages 2 0 R >>".to_owned(),
        format!(
            "<< /Type /Pages /Count {} /Kids [{}] >>",
            pages.len(),
            kids.join(" ")
        ),
        face("Helvetica"),
        face("Helvetica-Bold"),
        format!("<< /Title ({}) /Producer (EasyISP) >>", escaped(title)),
    ];
    for (place, page) in pages.iter().enumerate() {
        objects.push(format!(
            "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 {WIDTH} {HEIGHT}] \
             /Resources << /Font << /F1 3 0 R /F2 4 0 R >>{resource} >> /Contents {} 0 R >>",
            first + 2 * place + 1
        ));
        objects.push(format!(
            "<< /Length {} >>\nstream\n{}endstream",
            page.content.len(),
            page.content
        ));
    }
    objects.extend(drawn);
    assembled(&objects)
}

/// A picture as an object (ISO 32000-1 §8.9.5). `None` when it cannot be compressed.
fn drawn(picture: &Pixels) -> Option<String> {
    let mut packed = ZlibEncoder::new(Vec::new(), Compression::default());
    packed.write_all(&picture.rgb).ok()?;
    let packed = packed.finish().ok()?;
    let mut digits = String::with_capacity(2 * packed.len() + 1);
    for byte in packed {
        let _ = write!(digits, "{byte:02x}");
    }
    digits.push('>');
    Some(format!(
        "<< /Type /XObject /Subtype /Image /Width {} /Height {} /ColorSpace /DeviceRGB /BitsPerComponent 8 \
         /Filter [/ASCIIHexDecode /FlateDecode] /Length {} >>\nstream\n{digits}\nendstream",
        picture.width,
        picture.height,
        digits.len()
    ))
}

/// Objects one after the other, and where each of them begins.
fn assembled(objects: &[String]) -> Vec<u8> {
    let mut file = "%PDF-1.4\n".to_owned();
    let mut places = Vec::with_capacity(objects.len());
    for (number, object) in (1..).zip(objects) {
        places.push(file.len());
        let _ = write!(file, "{number} 0 obj\n{object}\nendobj\n");
    }
    let (table, count) = (file.len(), objects.len() + 1);
    let _ = write!(file, "xref\n0 {count}\n0000000000 65535 f \n");
    for place in places {
        let _ = writeln!(file, "{place:010} 00000 n ");
    }
    let _ = write!(
        file,
        "trailer\n<< /Size {count} /Root 1 0 R /Info 5 0 R >>\nstartxref\n{table}\n%%EOF\n"
    );
    file.into_bytes()
}

/// Text as a literal string of PDF, all of it ASCII.
fn escaped(text: &str) -> String {
    let mut literal = String::with_capacity(text.len());
    for letter in text.chars() {
        match win_ansi(letter) {
            byte @ (b'(' | b')' | b'\\') => {
                literal.push('\\');
                literal.push(char::from(byte));
            }
            byte @ 0x20..=0x7e => literal.push(char::from(byte)),
            byte => {
                let _ = write!(literal, "\\{byte:03o}");
            }
        }
    }
    literal
}

/// The code of a letter, or that of `?`.
fn win_ansi(letter: char) -> u8 {
    match letter {
        '€' => 0x80,
        '…' => 0x85,
        '‘' => 0x91,
        '’' => 0x92,
        '“' => 0x93,
        '”' => 0x94,
        '•' => 0x95,
        '–' => 0x96,
        '—' => 0x97,
        '\u{20}'..='\u{7e}' | '\u{a0}'..='\u{ff}' => u8::try_from(letter).unwrap_or(b'?'),
        _ => b'?',
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn brackets_and_accents_are_letters_and_nothing_more() {
        assert_eq!(escaped("a (b) \\ c"), "a \\(b\\) \\\\ c");
        assert_eq!(escaped("Café – 5 €\n漢"), "Caf\\351 \\226 5 \\200??");
    }

    /// The dark squares on the page are those of the code, no more and no less.
    #[test]
    fn a_code_is_drawn_square_by_square() {
        let mut page = PageText::default();
        let size = page.code((100, 200), "INV-20270001").unwrap();
        let code = QrCode::with_error_correction_level("INV-20270001", EcLevel::M).unwrap();
        assert_eq!(size as usize, code.width() * 3);
        let boxes: Vec<Vec<u32>> = page
            .content
            .lines()
            .map(|line| {
                line.split(' ')
                    .take(4)
                    .map(|part| part.parse().unwrap())
                    .collect()
            })
            .collect();
        let dark = |column: u32, row: u32| {
            let (x, y) = (100 + column * 3, 200 + size - (row + 1) * 3);
            boxes
                .iter()
                .any(|one| one[1] == y && (one[0]..one[0] + one[2]).contains(&x))
        };
        for (place, colour) in code.to_colors().into_iter().enumerate() {
            let (column, row) = (place % code.width(), place / code.width());
            assert_eq!(
                dark(column as u32, row as u32),
                colour == Color::Dark,
                "{place}"
            );
        }
    }

    #[test]
    fn the_table_says_where_each_object_begins() {
        let mut page = PageText::default();
        page.left((50, 700), Face::Plain, 10, "Hello");
        let file = String::from_utf8(document("Two", &[page.clone(), page], None)).unwrap();

        let (_, tail) = file.rsplit_once("startxref\n").unwrap();
        let at: usize = tail.lines().next().unwrap().parse().unwrap();
        let mut table = file[at..].lines();
        assert_eq!((table.next(), table.next()), (Some("xref"), Some("0 10")));
        for (number, line) in table.skip(1).take(9).enumerate() {
            let place: usize = line[..10].parse().unwrap();
            let begins = format!("{} 0 obj", number + 1);
            assert!(file[place..].starts_with(&begins), "{line}");
        }
        assert!(file.contains("(Hello) Tj"));
    }
}
