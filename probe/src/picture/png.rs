//! A picture as PNG, half as large again so that its letters are sharp. They are those of Latin languages only; others
//! become question marks.

use std::convert::Infallible;

use embedded_graphics::Drawable as _;
use embedded_graphics::Pixel;
use embedded_graphics::draw_target::DrawTarget;
use embedded_graphics::geometry::{OriginDimensions, Point, Size};
use embedded_graphics::mono_font::MonoTextStyle;
use embedded_graphics::mono_font::iso_8859_1::FONT_10X20;
use embedded_graphics::pixelcolor::{Rgb888, RgbColor as _};
use embedded_graphics::primitives::Rectangle;
use embedded_graphics::text::{Alignment, Baseline, Text, TextStyleBuilder};

use super::{Picture, Weight};

const BACKGROUND: Rgb888 = Rgb888::WHITE;
const BARS: Rgb888 = Rgb888::new(0x2f, 0x7e, 0xd8);
const DIM: Rgb888 = Rgb888::new(0x55, 0x55, 0x55);
/// A higher picture is no use to anybody, and costs memory.
const HEIGHT_MAX: usize = 30_000;

/// The bytes of the file; an error in words where there are too many charts.
pub(crate) fn encoded(picture: &Picture) -> Result<Vec<u8>, String> {
    let [width, height] = [picture.width, picture.height].map(enlarged);
    if height > HEIGHT_MAX {
        return Err("too many charts for one PNG: name fewer series, or say --merge".into());
    }
    let mut canvas = Canvas {
        width,
        pixels: vec![BACKGROUND; width * height],
    };
    let Ok(()) = draw(picture, &mut canvas);
    let [width, height] = [width, height].map(|side| u32::try_from(side).unwrap_or(u32::MAX));
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, width, height);
    encoder.set_color(png::ColorType::Rgb);
    let pixels = canvas.pixels.iter();
    let bytes: Vec<u8> = pixels
        .flat_map(|pixel| [pixel.r(), pixel.g(), pixel.b()])
        .collect();
    let written = encoder
        .write_header()
        .and_then(|mut writer| writer.write_image_data(&bytes));
    written.map_err(|error| error.to_string())?;
    Ok(file)
}

fn enlarged(length: usize) -> usize {
    length * 3 / 2
}

fn point(x: usize, y: usize) -> Point {
    let [x, y] = [x, y].map(|place| i32::try_from(enlarged(place)).unwrap_or(i32::MAX));
    Point::new(x, y)
}

fn draw(picture: &Picture, canvas: &mut Canvas) -> Result<(), Infallible> {
    for bar in &picture.bars {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "no wider than the picture"
        )]
        let width = (bar.width * 1.5).ceil() as u32;
        let height = u32::try_from(enlarged(bar.height)).unwrap_or(u32::MAX);
        let area = Rectangle::new(point(bar.x, bar.y), Size::new(width, height));
        canvas.fill_solid(&area, BARS)?;
    }
    for text in &picture.texts {
        let ink = match text.weight {
            Weight::Dim => DIM,
            Weight::Bold | Weight::Plain => Rgb888::BLACK,
        };
        let alignment = match text.is_to_the_left {
            true => Alignment::Right,
            false => Alignment::Left,
        };
        let style = TextStyleBuilder::new()
            .alignment(alignment)
            .baseline(Baseline::Alphabetic);
        let (style, letters) = (style.build(), MonoTextStyle::new(&FONT_10X20, ink));
        let content = text.content.replace('–', "-");
        let content = content.replace(char::is_control, "?");
        let place = point(text.x, text.y);
        Text::with_text_style(&content, place, letters, style).draw(canvas)?;
        if text.weight == Weight::Bold {
            let place = place + Point::new(1, 0);
            Text::with_text_style(&content, place, letters, style).draw(canvas)?;
        }
    }
    Ok(())
}

/// Pixels row by row; what lies outside is lost.
struct Canvas {
    width: usize,
    pixels: Vec<Rgb888>,
}

impl OriginDimensions for Canvas {
    fn size(&self) -> Size {
        let side = |length: usize| u32::try_from(length).unwrap_or(u32::MAX);
        Size::new(side(self.width), side(self.pixels.len() / self.width))
    }
}

impl DrawTarget for Canvas {
    type Color = Rgb888;
    type Error = Infallible;

    fn draw_iter<I: IntoIterator<Item = Pixel<Rgb888>>>(
        &mut self,
        pixels: I,
    ) -> Result<(), Infallible> {
        for Pixel(place, colour) in pixels {
            let [x, y] = [place.x, place.y].map(|side| usize::try_from(side).ok());
            let at = x.zip(y).filter(|&(x, _)| x < self.width);
            let at = at.map(|(x, y)| y * self.width + x);
            if let Some(pixel) = at.and_then(|at| self.pixels.get_mut(at)) {
                *pixel = colour;
            }
        }
        Ok(())
    }
}
