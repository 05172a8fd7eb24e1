//! Images on their way to the graphics card: each is uploaded once, and at most once a frame.

use std::collections::HashMap;
use std::sync::Arc;

use egui::{Context, ImageData, TextureHandle, TextureId, TextureOptions};

use crate::gui::host::Image;

/// A place whose image changes all the time and keeps its texture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Slot {
    Before,
    After,
}

/// How pixels are drawn larger than they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Grain {
    Smooth,
    /// As squares.
    Pixels,
}

struct Uploaded {
    image: Image,
    texture: TextureHandle,
    grain: Grain,
    last_frame: u64,
}

#[derive(Default)]
pub struct Textures {
    slots: HashMap<Slot, Uploaded>,
    /// By the address of the image, which the entry keeps alive, and how it is drawn.
    others: HashMap<(usize, Grain), Uploaded>,
    frame: u64,
}

/// Frames that an image may go unseen before its texture is freed.
const FRAMES_KEPT: u64 = 120;

fn options(grain: Grain) -> TextureOptions {
    match grain {
        Grain::Smooth => TextureOptions::LINEAR,
        Grain::Pixels => TextureOptions::NEAREST,
    }
}

impl Textures {
    /// Call once a frame, before the first texture is asked for.
    pub fn next_frame(&mut self) {
        self.frame += 1;
        let frame = self.frame;
        self.others.retain(|_, uploaded| uploaded.last_frame + FRAMES_KEPT > frame);
    }

    /// The texture of a slot, with this image in it.
    pub fn slot(&mut self, ctx: &Context, slot: Slot, image: &Image, grain: Grain) -> TextureId {
        let frame = self.frame;
        let uploaded = self.slots.entry(slot).or_insert_with(|| upload(ctx, image, grain, frame));
        if !Arc::ptr_eq(&uploaded.image, image) || uploaded.grain != grain {
            uploaded.texture.set(ImageData::Color(image.clone()), options(grain));
            (uploaded.image, uploaded.grain) = (image.clone(), grain);
        }
        uploaded.texture.id()
    }

    /// The texture of an image that stays as it is.
    pub fn of(&mut self, ctx: &Context, image: &Image, grain: Grain) -> TextureId {
        let frame = self.frame;
        let key = (Arc::as_ptr(image) as usize, grain);
        let uploaded = self.others.entry(key).or_insert_with(|| upload(ctx, image, grain, frame));
        uploaded.last_frame = frame;
        uploaded.texture.id()
    }
}

fn upload(ctx: &Context, image: &Image, grain: Grain, frame: u64) -> Uploaded {
    let texture = ctx.load_texture("picture", ImageData::Color(image.clone()), options(grain));
    Uploaded { image: image.clone(), texture, grain, last_frame: frame }
}
