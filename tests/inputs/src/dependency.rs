//! Any bytes as two dependency descriptors, the second read by the structure that the first brought.

use sfu::rtp::dependency_descriptor::{MAX_CHAINS, MAX_SPATIAL, MAX_TARGETS, parse};

pub(crate) fn run(input: &[u8]) {
    let Some((length, rest)) = input.split_first() else { return };
    let (first, second) = rest.split_at(usize::from(*length).min(rest.len()));
    assert!(parse(second, None).is_none_or(|(frame, fresh)| fresh.is_some() && frame.active.is_some()));
    let Some((_, Some(structure))) = parse(first, None) else { return };
    assert!(usize::from(structure.spatial_layers()) <= MAX_SPATIAL);
    for spatial in 0..=structure.spatial_layers() {
        for active in [u32::MAX, 0, 0b101] {
            let Some(target) = structure.target(spatial, 7, active) else { continue };
            assert!(usize::from(target) < MAX_TARGETS && active & (1 << target) != 0);
            assert!(structure.spatial_of(target) < structure.spatial_layers());
            assert!(structure.chain_of(target).is_none_or(|chain| chain < MAX_CHAINS));
        }
        let _ = structure.size(spatial);
    }
    if let Some((frame, _)) = parse(second, Some(&structure)) {
        let _ = (0..=u8::MAX).map(|target| frame.indications.of(target)).collect::<Vec<_>>();
    }
}
