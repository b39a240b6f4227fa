//! Exports as workbooks of one sheet (ECMA-376), sent while they are written.
//!
//! Every cell is text (`inlineStr`): nothing is ever a formula, and numbers keep their leading zeros. Around it
//! is a ZIP whose sizes follow the data (APPNOTE 4.4.4, bit 3), because nobody knows them before.

use std::io::Write;

use flate2::write::DeflateEncoder;
use flate2::{Compression, Crc};

/// A workbook on its way out.
pub struct Workbook {
    /// Bytes that were not taken yet.
    out: Vec<u8>,
    /// How many bytes there are with those that were.
    length: u32,
    entries: Vec<Entry>,
    sheet: Part,
}

/// A file in the ZIP.
struct Entry {
    name: &'static str,
    at: u32,
    crc: u32,
    packed: u32,
    plain: u32,
}

/// A file that is being written.
struct Part {
    name: &'static str,
    at: u32,
    crc: Crc,
    packer: DeflateEncoder<Vec<u8>>,
}

impl Workbook {
    /// With these column names.
    pub fn new(columns: &[&str]) -> std::io::Result<Workbook> {
        let mut book = Workbook {
            out: Vec::new(),
            length: 0,
            entries: Vec::new(),
            sheet: Part::begin("xl/worksheets/sheet1.xml", 0),
        };
        for (name, text) in FRAME {
            let mut part = Part::begin(name, book.length);
            book.push(&local_header(name));
            part.write(text)?;
            book.end(part)?;
        }
        book.sheet.at = book.length;
        book.push(&local_header(book.sheet.name));
        book.sheet.write(concat!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\" standalone=\"yes\"?>",
            "<worksheet xmlns=\"http://schemas.openxmlformats.org/spreadsheetml/2006/main\"><sheetData>"
        ))?;
        book.row(columns)?;
        Ok(book)
    }

    /// Adds a row.
    pub fn row(&mut self, cells: &[&str]) -> std::io::Result<()> {
        let mut row = String::from("<row>");
        for cell in cells {
            row.push_str("<c t=\"inlineStr\"><is><t xml:space=\"preserve\">");
            escape(cell, &mut row);
            row.push_str("</t></is></c>");
        }
        row.push_str("</row>");
        self.sheet.write(&row)
    }

    /// The bytes since the last time.
    pub fn take(&mut self) -> Vec<u8> {
        let packed = std::mem::take(self.sheet.packer.get_mut());
        self.push(&packed);
        std::mem::take(&mut self.out)
    }

    /// The last bytes.
    pub fn finish(mut self) -> std::io::Result<Vec<u8>> {
        self.sheet.write("</sheetData></worksheet>")?;
        let packed = std::mem::take(self.sheet.packer.get_mut());
        self.push(&packed);
        let sheet = std::mem::replace(&mut self.sheet, Part::begin("", 0));
        self.end(sheet)?;
        let directory = self.length;
        for entry in std::mem::take(&mut self.entries) {
            self.push(&entry.directory());
        }
        let size = self.length - directory;
        let files = u16::try_from(FRAME.len() + 1).unwrap_or(u16::MAX);
        let mut end = vec![b'P', b'K', 5, 6, 0, 0, 0, 0];
        end.extend(files.to_le_bytes());
        end.extend(files.to_le_bytes());
        end.extend(size.to_le_bytes());
        end.extend(directory.to_le_bytes());
        end.extend([0, 0]);
        self.push(&end);
        Ok(self.out)
    }

    /// Ends a file: what is left of it, and its sizes.
    fn end(&mut self, part: Part) -> std::io::Result<()> {
        let Part {
            name,
            at,
            crc,
            packer,
        } = part;
        let plain = u32::try_from(packer.total_in()).map_err(|_| too_large())?;
        let rest = packer.finish()?;
        self.push(&rest);
        // What was taken before stands between the header and here.
        let header = u64::try_from(local_header(name).len()).unwrap_or(0);
        let packed = u64::from(self.length).saturating_sub(u64::from(at) + header);
        let packed = u32::try_from(packed).map_err(|_| too_large())?;
        let entry = Entry {
            name,
            at,
            crc: crc.sum(),
            packed,
            plain,
        };
        let mut sizes = vec![b'P', b'K', 7, 8];
        for number in [entry.crc, entry.packed, entry.plain] {
            sizes.extend(number.to_le_bytes());
        }
        self.push(&sizes);
        self.entries.push(entry);
        Ok(())
    }

    fn push(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
        let more = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        self.length = self.length.saturating_add(more);
    }
}

impl Part {
    fn begin(name: &'static str, at: u32) -> Part {
        Part {
            name,
            at,
            crc: Crc::new(),
            packer: DeflateEncoder::new(Vec::new(), Compression::fast()),
        }
    }

    fn write(&mut self, text: &str) -> std::io::Result<()> {
        self.crc.update(text.as_bytes());
        self.packer.write_all(text.as_bytes())
    }
}

/// Version 2.0, sizes after the data, names in UTF-8, deflated, on the first of January 1980.
const KIND: [u8; 10] = [20, 0, 0x08, 0x08, 8, 0, 0, 0, 0x21, 0];

fn local_header(name: &str) -> Vec<u8> {
    let mut header = vec![b'P', b'K', 3, 4];
    header.extend(KIND);
    header.extend([0; 12]);
    header.extend(u16::try_from(name.len()).unwrap_or(0).to_le_bytes());
    header.extend([0, 0]);
    header.extend(name.as_bytes());
    header
}

impl Entry {
    fn directory(&self) -> Vec<u8> {
        let mut entry = vec![b'P', b'K', 1, 2, 20, 0];
        entry.extend(KIND);
        for number in [self.crc, self.packed, self.plain] {
            entry.extend(number.to_le_bytes());
        }
        entry.extend(u16::try_from(self.name.len()).unwrap_or(0).to_le_bytes());
        entry.extend([0; 12]);
        entry.extend(self.at.to_le_bytes());
        entry.extend(self.name.as_bytes());
        entry
    }
}

/// Text as XML; what XML cannot say at all becomes the replacement character.
fn escape(text: &str, into: &mut String) {
    for letter in text.chars() {
        match letter {
            '&' => into.push_str("&amp;"),
            '<' => into.push_str("&lt;"),
            '>' => into.push_str("&gt;"),
            '\t' | '\n' | '\r' => into.push(letter),
            '\u{FFFE}' | '\u{FFFF}' => into.push('\u{FFFD}'),
            letter if letter.is_control() && letter.is_ascii() => into.push('\u{FFFD}'),
            letter => into.push(letter),
        }
    }
}

fn too_large() -> std::io::Error {
    std::io::Error::other("a workbook ends at 4 GiB")
}

/// What stands around a sheet.
const FRAME: [(&str, &str); 4] = [
    (
        "[Content_Types].xml",
        "<?xml version=\"1.0\" encoding=\"UTF-8\" standalone=\"yes\"?>\
         <Types xmlns=\"http://schemas.openxmlformats.org/package/2006/content-types\">\
         <Default Extension=\"rels\" ContentType=\"application/vnd.openxmlformats-package.relationships+xml\"/>\
         <Default Extension=\"xml\" ContentType=\"application/xml\"/>\
         <Override PartName=\"/xl/workbook.xml\" \
         ContentType=\"application/vnd.openxmlformats-officedocument.spreadsheetml.sheet.main+xml\"/>\
         <Override PartName=\"/xl/worksheets/sheet1.xml\" \
         ContentType=\"application/vnd.openxmlformats-officedocument.spreadsheetml.worksheet+xml\"/></Types>",
    ),
    (
        "_rels/.rels",
        "<?xml version=\"1.0\" encoding=\"UTF-8\" standalone=\"yes\"?>\
         <Relationships xmlns=\"http://schemas.openxmlformats.org/package/2006/relationships\">\
         <Relationship Id=\"rId1\" \
         Type=\"http://schemas.openxmlformats.org/officeDocument/2006/relationships/officeDocument\" \
         Target=\"xl/workbook.xml\"/></Relationships>",
    ),
    (
        "xl/workbook.xml",
        "<?xml version=\"1.0\" encoding=\"UTF-8\" standalone=\"yes\"?>\
         <workbook xmlns=\"http://schemas.openxmlformats.org/spreadsheetml/2006/main\" \
         xmlns:r=\"http://schemas.openxmlformats.org/officeDocument/2006/relationships\">\
         <sheets><sheet name=\"Sheet1\" sheetId=\"1\" r:id=\"rId1\"/></sheets></workbook>",
    ),
    (
        "xl/_rels/workbook.xml.rels",
        "<?xml version=\"1.0\" encoding=\"UTF-8\" standalone=\"yes\"?>\
         <Relationships xmlns=\"http://schemas.openxmlformats.org/package/2006/relationships\">\
         <Relationship Id=\"rId1\" \
         Type=\"http://schemas.openxmlformats.org/officeDocument/2006/relationships/worksheet\" \
         Target=\"worksheets/sheet1.xml\"/></Relationships>",
    ),
];

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use std::io::Read;

    use flate2::read::DeflateDecoder;

    use super::*;

    /// The files of a ZIP, by its directory, each as the directory says it is.
    fn unzip(bytes: &[u8]) -> Vec<(String, String)> {
        let number = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()) as usize;
        let short =
            |at: usize| usize::from(u16::from_le_bytes(bytes[at..at + 2].try_into().unwrap()));
        let end = bytes.len() - 22;
        assert_eq!(&bytes[end..end + 4], b"PK\x05\x06");
        let (count, mut at) = (short(end + 10), number(end + 16));
        assert_eq!(number(end + 12), end - at);
        let mut files = Vec::new();
        for _ in 0..count {
            assert_eq!(&bytes[at..at + 4], b"PK\x01\x02");
            let (crc, packed, plain) = (number(at + 16), number(at + 20), number(at + 24));
            let (name, local) = (short(at + 28), number(at + 42));
            let name = std::str::from_utf8(&bytes[at + 46..at + 46 + name]).unwrap();
            assert_eq!(&bytes[local..local + 4], b"PK\x03\x04");
            let data = local + 30 + short(local + 26) + short(local + 28);
            let mut text = String::new();
            let mut packer = DeflateDecoder::new(&bytes[data..data + packed]);
            packer.read_to_string(&mut text).unwrap();
            let mut sum = Crc::new();
            sum.update(text.as_bytes());
            assert_eq!((sum.sum() as usize, text.len()), (crc, plain), "{name}");
            assert_eq!(&bytes[data + packed..data + packed + 4], b"PK\x07\x08");
            files.push((name.to_owned(), text));
            at += 46 + name.len();
        }
        files
    }

    #[test]
    fn a_workbook_holds_what_was_written_however_it_was_taken() {
        let mut book = Workbook::new(&["name", "note"]).unwrap();
        let mut bytes = book.take();
        for n in 0..5000 {
            book.row(&[&format!("00{n}"), "=1+1 <&> \u{b} \u{e9}"])
                .unwrap();
            if n % 700 == 0 {
                bytes.extend(book.take());
            }
        }
        bytes.extend(book.finish().unwrap());
        let files = unzip(&bytes);
        assert_eq!(files.len(), 5);
        let (name, sheet) = &files[4];
        assert_eq!(name, "xl/worksheets/sheet1.xml");
        assert_eq!(sheet.matches("<row>").count(), 5001);
        assert!(
            sheet.contains(">004999<") && sheet.contains("=1+1 &lt;&amp;&gt; \u{fffd} \u{e9}<")
        );
        assert!(!sheet.contains("<f>"), "no formula");
    }
}
