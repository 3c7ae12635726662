//! How one received stream of a scalable codec (VP9, AV1) is layered. Owns the structure that dependency descriptors
//! refer to; never decides who gets what.

use crate::cadence::{ALL, FEWER};
use crate::rtp::dependency_descriptor::{self, Frame, Indication, MAX_SPATIAL, Structure};
use crate::uplink::Rate;
use std::time::Instant;

/// How a scalable stream is layered, as its last key frame said.
#[derive(Default)]
pub(crate) struct Layering {
    pub(crate) structure: Option<Structure>,
    /// Decode targets that are sent, one bit each.
    pub(crate) active: u32,
    /// The packet that brought the structure, and its descriptor.
    since: u64,
    bytes: Vec<u8>,
    /// What a subscriber costs who gets up to each spatial layer.
    rates: [Rate; MAX_SPATIAL],
    /// The same of the lowest one, up to each temporal layer that is not the last.
    fewer: [Rate; FEWER],
}

impl Layering {
    pub(crate) fn spatial_layers(&self) -> usize {
        self.structure.as_ref().map_or(0, |structure| usize::from(structure.spatial_layers()))
    }

    /// Counts a packet for every spatial layer that needs it.
    pub(crate) fn count(&mut self, now: Instant, frame: &Frame, bytes: usize) {
        let Some(structure) = &self.structure else { return };
        let whole = (0..structure.spatial_layers()).map(|spatial| (spatial, ALL)).zip(&mut self.rates);
        let fewer = (0..).map(|temporal| (0, temporal)).zip(&mut self.fewer);
        for ((spatial, temporal), rate) in whole.chain(fewer) {
            let target = structure.target(spatial, temporal, self.active);
            if target.is_some_and(|target| frame.indications.of(target) != Indication::NotPresent) {
                rate.count(now, bytes);
            }
        }
    }

    /// Bit/s of everything up to a spatial layer, once it is known.
    pub(crate) fn rate(&self, spatial: usize) -> Option<f64> {
        self.rates.get(spatial)?.get()
    }

    /// The same of the lowest spatial layer with fewer frames.
    pub(crate) fn rate_of_fewer(&self) -> [Option<f64>; FEWER] {
        self.fewer.each_ref().map(Rate::get)
    }

    /// The whole descriptor of the packet that brought the structure.
    pub(crate) fn attached(&self, sequence: u64) -> Option<&[u8]> {
        (sequence == self.since).then_some(&self.bytes)
    }

    /// Reads a packet's dependency descriptor. `None` for one that cannot be understood.
    pub(crate) fn follow(&mut self, sequence: u64, bytes: &[u8]) -> Option<Frame> {
        let (frame, fresh) = dependency_descriptor::parse(bytes, self.structure.as_ref())?;
        let newer = self.structure.is_none() || sequence >= self.since;
        if let Some(structure) = fresh.filter(|_| newer) {
            self.structure = Some(structure);
            self.since = sequence;
            self.bytes.clear();
            self.bytes.extend_from_slice(bytes);
        }
        if let Some(active) = frame.active.filter(|_| newer) {
            self.active = active;
        }
        Some(frame)
    }
}
