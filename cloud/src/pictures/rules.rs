//! What is a picture, and what becomes of one. Reads untrusted bytes: every input gives `Ok` or `Err`.

use std::io::Cursor;

use image::codecs::jpeg::JpegEncoder;
use image::imageops::FilterType;
use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader, Limits};

/// The largest file that is taken.
pub const MOST_BYTES: usize = 1024 * 1024;
/// The largest picture that is decoded, each way.
const MOST_PIXELS: u32 = 2048;
/// The largest picture that is kept, each way: as large as any page shows one.
const KEPT_PIXELS: u32 = 512;
/// Bytes that a decoder may take for itself.
const MOST_ALLOC: u64 = 64 * 1024 * 1024;

/// A picture that was encoded here.
#[derive(Debug)]
pub struct Picture {
    /// `image/png` where something shines through, else `image/jpeg`.
    pub kind: Kind,
    /// Without anything that stood beside the pixels.
    pub bytes: Vec<u8>,
}

/// How a picture is encoded.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// With transparency.
    Png,
    /// Without.
    Jpeg,
}

impl Kind {
    /// For the header.
    pub fn content_type(self) -> &'static str {
        match self {
            Kind::Png => "image/png",
            Kind::Jpeg => "image/jpeg",
        }
    }

    /// For the name.
    pub fn ending(self) -> &'static str {
        match self {
            Kind::Png => "png",
            Kind::Jpeg => "jpg",
        }
    }
}

/// Why a file is no picture for us.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum NoPicture {
    /// By its content, whatever its name says.
    #[error("must be a PNG, JPEG or WebP picture")]
    Format,
    /// Too many pixels.
    #[error("must have at most 2048 pixels each way; make it smaller")]
    TooLarge,
    /// Cut off or spoiled.
    #[error("cannot be read as a picture; save it anew")]
    Broken,
}

/// Decodes a file and encodes what it shows: upright, at most 512 pixels each way, and nothing else of it.
pub fn anew(file: &[u8]) -> Result<Picture, NoPicture> {
    let format = image::guess_format(file).map_err(|_| NoPicture::Format)?;
    if !matches!(
        format,
        ImageFormat::Png | ImageFormat::Jpeg | ImageFormat::WebP
    ) {
        return Err(NoPicture::Format);
    }
    let mut limits = Limits::default();
    limits.max_image_width = Some(MOST_PIXELS);
    limits.max_image_height = Some(MOST_PIXELS);
    limits.max_alloc = Some(MOST_ALLOC);
    let mut reader = ImageReader::with_format(Cursor::new(file), format);
    reader.limits(limits);
    let mut decoder = reader.into_decoder().map_err(why)?;
    let (width, height) = decoder.dimensions();
    if width.max(height) > MOST_PIXELS {
        return Err(NoPicture::TooLarge);
    }
    let upright = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    let mut picture = DynamicImage::from_decoder(decoder).map_err(why)?;
    picture.apply_orientation(upright);
    if picture.width().max(picture.height()) > KEPT_PIXELS {
        picture = picture.resize(KEPT_PIXELS, KEPT_PIXELS, FilterType::Triangle);
    }
    encode(&picture)
}

/// A picture without compression.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Pixels {
    /// In pixels.
    pub width: u32,
    /// In pixels.
    pub height: u32,
    /// Red, green and blue of each, row by row from the top.
    pub rgb: Vec<u8>,
}

/// The largest picture on paper, each way: 300 dots an inch on two centimetres.
const PAPER_PIXELS: u32 = 240;

/// Decodes a picture that was kept, under the same limits; what shines through is white.
pub fn pixels(kept: &[u8]) -> Option<Pixels> {
    let format = image::guess_format(kept).ok()?;
    let mut limits = Limits::default();
    limits.max_image_width = Some(MOST_PIXELS);
    limits.max_image_height = Some(MOST_PIXELS);
    limits.max_alloc = Some(MOST_ALLOC);
    let mut reader = ImageReader::with_format(Cursor::new(kept), format);
    reader.limits(limits);
    let mut picture = reader.decode().ok()?;
    if picture.width().max(picture.height()) > PAPER_PIXELS {
        picture = picture.resize(PAPER_PIXELS, PAPER_PIXELS, FilterType::Triangle);
    }
    let rgba = picture.to_rgba8();
    let on_white = |colour: u8, alpha: u8| {
        let (colour, alpha) = (u32::from(colour), u32::from(alpha));
        u8::try_from((colour * alpha + 255 * (255 - alpha)) / 255).unwrap_or(u8::MAX)
    };
    let rgb = rgba.pixels().flat_map(|pixel| {
        let [red, green, blue, alpha] = pixel.0;
        [red, green, blue].map(|colour| on_white(colour, alpha))
    });
    Some(Pixels {
        width: rgba.width(),
        height: rgba.height(),
        rgb: rgb.collect(),
    })
}

fn encode(picture: &DynamicImage) -> Result<Picture, NoPicture> {
    let mut bytes = Vec::new();
    let kind = match picture.color().has_alpha() {
        true => {
            let rgba = picture.to_rgba8();
            let out = &mut Cursor::new(&mut bytes);
            rgba.write_to(out, ImageFormat::Png).map_err(why)?;
            Kind::Png
        }
        false => {
            let encoder = JpegEncoder::new_with_quality(&mut bytes, 85);
            picture.to_rgb8().write_with_encoder(encoder).map_err(why)?;
            Kind::Jpeg
        }
    };
    Ok(Picture { kind, bytes })
}

fn why(error: image::ImageError) -> NoPicture {
    match error {
        image::ImageError::Limits(_) => NoPicture::TooLarge,
        _ => NoPicture::Broken, // image's enum
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use image::{Rgba, RgbaImage};
    use proptest::prelude::*;

    use super::*;

    fn png(width: u32, height: u32) -> Vec<u8> {
        let mut bytes = Vec::new();
        RgbaImage::from_pixel(width, height, Rgba([10, 20, 30, 128]))
            .write_to(&mut Cursor::new(&mut bytes), ImageFormat::Png)
            .unwrap();
        bytes
    }

    /// H4: nothing of a file is kept but what it shows.
    #[test]
    fn what_was_hidden_in_a_picture_is_gone() {
        let mut file = png(8, 8);
        file.extend(b"<script>alert(1)</script>");
        let kept = anew(&file).unwrap();
        assert_eq!(kept.kind, Kind::Png);
        assert!(!kept.bytes.windows(7).any(|part| part == b"<script"));
        let opaque = DynamicImage::ImageRgba8(image::load_from_memory(&file).unwrap().to_rgba8());
        let mut jpeg = Vec::new();
        opaque
            .to_rgb8()
            .write_to(&mut Cursor::new(&mut jpeg), ImageFormat::Jpeg)
            .unwrap();
        let comment = [0xff, 0xfe, 0, 9, b'<', b's', b'c', b'r', b'i', b'p', b't'];
        jpeg.splice(2..2, comment);
        let kept = anew(&jpeg).unwrap();
        assert_eq!(kept.kind, Kind::Jpeg);
        assert!(!kept.bytes.windows(7).any(|part| part == b"<script"));
    }

    #[test]
    fn what_shines_through_is_white_on_paper_and_what_is_large_small() {
        let kept = anew(&png(1024, 256)).unwrap();
        let paper = pixels(&kept.bytes).unwrap();
        assert_eq!((paper.width, paper.height), (240, 60));
        assert_eq!(paper.rgb.len(), 240 * 60 * 3);
        assert_eq!(paper.rgb[..3], [132, 137, 142]);
        assert_eq!(pixels(b"nothing"), None);
    }

    #[test]
    fn a_large_picture_is_made_small_and_a_huge_one_refused() {
        let kept = anew(&png(1024, 256)).unwrap();
        let small = image::load_from_memory(&kept.bytes).unwrap();
        assert_eq!((small.width(), small.height()), (512, 128));
        assert_eq!(anew(&png(2049, 1)).unwrap_err(), NoPicture::TooLarge);
        // A flood: a few bytes that claim to be a picture of 60,000 by 60,000.
        let mut flood = png(1, 1);
        flood[16..24].copy_from_slice(&[0, 0, 0xea, 0x60, 0, 0, 0xea, 0x60]);
        assert!(anew(&flood).is_err());
    }

    #[test]
    fn what_is_no_picture_of_three_kinds_is_refused_by_content() {
        for file in [
            b"<svg xmlns=\"http://www.w3.org/2000/svg\"><script/></svg>".as_slice(),
            b"GIF89a\x01\0\x01\0\0\0\0;",
            b"%PDF-1.7",
            b"",
        ] {
            assert_eq!(anew(file).unwrap_err(), NoPicture::Format);
        }
        let cut = &png(64, 64)[..60];
        assert_eq!(anew(cut).unwrap_err(), NoPicture::Broken);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]

        #[test]
        fn a_spoiled_file_never_panics(at in 8usize..120, byte in any::<u8>(), end in 0usize..200) {
            let mut file = png(16, 16);
            if let Some(spoiled) = file.get_mut(at) {
                *spoiled = byte;
            }
            file.truncate(end.max(8));
            let _ = anew(&file);
        }
    }
}
