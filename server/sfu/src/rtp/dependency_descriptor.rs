//! The dependency descriptor (AV1 RTP specification, appendix A; also used with VP9): which part of a scalable stream a
//! frame belongs to and what it needs, without a look into the payload. Reads it; a descriptor passes unchanged.

/// Decode targets that a structure can name (five bits).
pub const MAX_TARGETS: usize = 32;
/// Templates that a structure can hold (six bits).
pub const MAX_TEMPLATES: usize = 64;
/// Chains read; browsers use one per spatial layer. A structure with more is not used.
pub const MAX_CHAINS: usize = 8;
/// Spatial layers (two bits of `next_layer_idc` could go on; AV1 has at most four here).
pub const MAX_SPATIAL: usize = 4;

/// What a frame means to a decode target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Indication {
    NotPresent,
    Discardable,
    /// The target can be decoded from here on, if its chain is whole.
    Switch,
    Required,
}

/// The indications of all decode targets, two bits each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Indications(u64);

impl Indications {
    /// That of one decode target.
    pub fn of(self, target: u8) -> Indication {
        match self.0.checked_shr(u32::from(target).wrapping_mul(2)).unwrap_or(0) & 3 {
            0 => Indication::NotPresent,
            1 => Indication::Discardable,
            2 => Indication::Switch,
            _ => Indication::Required,
        }
    }

    fn set(&mut self, target: usize, bits: u32) {
        let place = (target as u32).wrapping_mul(2);
        self.0 |= u64::from(bits & 3).checked_shl(place).unwrap_or(0);
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Template {
    spatial: u8,
    temporal: u8,
    indications: Indications,
    chains: [u8; MAX_CHAINS],
}

/// How a stream is layered. Comes with a key frame and holds until the next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Structure {
    offset: u8,
    targets: u8,
    chains: u8,
    templates: Vec<Template>,
    /// By decode target: the chain that protects it, and its highest spatial and temporal layer.
    protected_by: [u8; MAX_TARGETS],
    layers: [(u8, u8); MAX_TARGETS],
    /// Width and height by spatial layer, when told.
    sizes: [Option<(u32, u32)>; MAX_SPATIAL],
}

impl Structure {
    /// Spatial layers: one more than the highest.
    pub fn spatial_layers(&self) -> u8 {
        self.templates.iter().map(|template| template.spatial).max().unwrap_or(0).saturating_add(1)
    }

    /// The best active decode target within these bounds; else the lowest of all.
    pub fn target(&self, spatial: u8, temporal: u8, active: u32) -> Option<u8> {
        let all =
            || (0..self.targets).filter_map(|target| Some((target, *self.layers.get(usize::from(target))?)));
        let is_active = |target: u8| active.checked_shr(u32::from(target)).unwrap_or(0) & 1 == 1;
        all()
            .filter(|(target, (s, t))| is_active(*target) && *s <= spatial && *t <= temporal)
            .max_by_key(|(_, layers)| *layers)
            .or_else(|| all().filter(|(target, _)| is_active(*target)).min_by_key(|(_, layers)| *layers))
            .map(|(target, _)| target)
    }

    /// The highest spatial layer of a decode target.
    pub fn spatial_of(&self, target: u8) -> u8 {
        self.layers.get(usize::from(target)).map_or(0, |layers| layers.0)
    }

    /// The chain whose frames a decode target needs without exception, if it has one.
    pub fn chain_of(&self, target: u8) -> Option<usize> {
        let chain = usize::from(*self.protected_by.get(usize::from(target))?);
        (chain < usize::from(self.chains)).then_some(chain)
    }

    /// Width and height of a spatial layer in pixels, when the structure tells.
    pub fn size(&self, spatial: u8) -> Option<(u32, u32)> {
        self.sizes.get(usize::from(spatial)).copied().flatten()
    }

    fn read(bits: &mut Bits<'_>) -> Option<Self> {
        let offset = bits.read(6)? as u8;
        let targets = bits.read(5)?.wrapping_add(1) as usize;
        let mut templates = Vec::new();
        let (mut spatial, mut temporal) = (0_u8, 0_u8);
        loop {
            if templates.len() >= MAX_TEMPLATES {
                return None;
            }
            templates.push(Template { spatial, temporal, ..Template::default() });
            match bits.read(2)? {
                0 => {}
                1 => temporal = temporal.checked_add(1)?,
                2 => (temporal, spatial) = (0, spatial.checked_add(1)?),
                _ => break,
            }
        }
        if usize::from(spatial) >= MAX_SPATIAL {
            return None;
        }
        for template in &mut templates {
            for target in 0..targets {
                template.indications.set(target, bits.read(2)?);
            }
        }
        for _ in &templates {
            while bits.read(1)? == 1 {
                bits.read(4)?; // what the frame refers to is said by the chains too
            }
        }
        let chains = bits.read_below(targets.wrapping_add(1) as u32)? as usize;
        if chains > MAX_CHAINS {
            return None;
        }
        let mut protected_by = [u8::MAX; MAX_TARGETS];
        if chains > 0 {
            for chain in protected_by.iter_mut().take(targets) {
                *chain = bits.read_below(chains as u32)? as u8;
            }
            for template in &mut templates {
                for distance in template.chains.iter_mut().take(chains) {
                    *distance = bits.read(4)? as u8;
                }
            }
        }
        let mut layers = [(0, 0); MAX_TARGETS];
        for (target, highest) in layers.iter_mut().enumerate().take(targets) {
            for template in &templates {
                if template.indications.of(target as u8) != Indication::NotPresent {
                    highest.0 = template.spatial.max(highest.0);
                    highest.1 = template.temporal.max(highest.1);
                }
            }
        }
        let mut sizes = [None; MAX_SPATIAL];
        if bits.read(1)? == 1 {
            for size in sizes.iter_mut().take(usize::from(spatial).wrapping_add(1)) {
                *size = Some((bits.read(16)?.wrapping_add(1), bits.read(16)?.wrapping_add(1)));
            }
        }
        let (targets, chains) = (targets as u8, chains as u8);
        Some(Self { offset, targets, chains, templates, protected_by, layers, sizes })
    }

    fn all_targets(&self) -> u32 {
        u32::MAX.checked_shr(32_u32.wrapping_sub(u32::from(self.targets))).unwrap_or(u32::MAX)
    }
}

/// One frame's descriptor, as its packet carries it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame {
    /// First packet of the frame.
    pub start: bool,
    /// Last packet of the frame.
    pub end: bool,
    /// Counts all frames of the stream.
    pub number: u16,
    pub spatial: u8,
    pub temporal: u8,
    pub indications: Indications,
    /// By chain: how many frames back its last one is; 0 where the chain begins with this frame.
    pub chains: [u8; MAX_CHAINS],
    /// A structure is attached: the frame is a key frame.
    pub key: bool,
    /// Decode targets that are still sent, one bit each, when this descriptor says so.
    pub active: Option<u32>,
}

/// Parses a descriptor by the structure known so far. Returns the frame, and the structure if a new one is attached.
/// `None` for one that is malformed or whose structure never came.
pub fn parse(data: &[u8], known: Option<&Structure>) -> Option<(Frame, Option<Structure>)> {
    let mut bits = Bits { data, at: 0 };
    let start = bits.read(1)? == 1;
    let end = bits.read(1)? == 1;
    let template = bits.read(6)? as u8;
    let number = bits.read(16)? as u16;
    let extended = data.len() > 3;
    let mut flags = [false; 5];
    if extended {
        for flag in &mut flags {
            *flag = bits.read(1)? == 1;
        }
    }
    let [attached, has_active, custom_indications, custom_distances, custom_chains] = flags;
    let fresh = if attached { Some(Structure::read(&mut bits)?) } else { None };
    let structure = fresh.as_ref().or(known)?;
    let mut active = attached.then(|| structure.all_targets());
    if has_active {
        active = Some(bits.read(u32::from(structure.targets))?);
    }
    let index = template.wrapping_add(64).wrapping_sub(structure.offset) % 64;
    let template = structure.templates.get(usize::from(index))?;
    let mut indications = template.indications;
    if custom_indications {
        indications = Indications::default();
        for target in 0..usize::from(structure.targets) {
            indications.set(target, bits.read(2)?);
        }
    }
    if custom_distances {
        loop {
            let size = bits.read(2)?;
            if size == 0 {
                break;
            }
            bits.read(size.wrapping_mul(4))?;
        }
    }
    let mut chains = template.chains;
    if custom_chains {
        for distance in chains.iter_mut().take(usize::from(structure.chains)) {
            *distance = bits.read(8)? as u8;
        }
    }
    let (spatial, temporal) = (template.spatial, template.temporal);
    let frame =
        Frame { start, end, number, spatial, temporal, indications, chains, key: attached && start, active };
    Some((frame, fresh))
}

/// Reads bits, the highest first.
struct Bits<'a> {
    data: &'a [u8],
    at: usize,
}

impl Bits<'_> {
    /// Up to 32 bits.
    fn read(&mut self, count: u32) -> Option<u32> {
        let mut value = 0_u32;
        for _ in 0..count {
            let byte = *self.data.get(self.at / 8)?;
            let bit = byte.wrapping_shr(7_u32.wrapping_sub((self.at % 8) as u32)) & 1;
            value = value.wrapping_shl(1) | u32::from(bit);
            self.at = self.at.wrapping_add(1);
        }
        Some(value)
    }

    /// `ns(n)`: a number below `n` in as few bits as possible.
    fn read_below(&mut self, n: u32) -> Option<u32> {
        let width = 32_u32.wrapping_sub(n.leading_zeros());
        let short = 1_u32.checked_shl(width).unwrap_or(0).wrapping_sub(n);
        let value = self.read(width.saturating_sub(1))?;
        if value < short {
            return Some(value);
        }
        Some(value.wrapping_shl(1).wrapping_sub(short).wrapping_add(self.read(1)?))
    }
}
