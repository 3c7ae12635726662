//! Writing RTCP into the caller's bytes. Each function writes one packet at the front of `out` and returns its
//! length, always whole words; `None` if it does not fit (`out` is then partly overwritten). A compound is made by
//! writing one after the other, a report first (RFC 3550 §6.1).

use super::{
    BLOCK_RECEIVER_REFERENCE_TIME, EXTENDED_REPORT, FORMAT_FIR, FORMAT_NACK, FORMAT_PLI, FirRequest, GOODBYE,
    PAYLOAD_FEEDBACK, RECEIVER_REPORT, ReportBlock, SENDER_REPORT, SOURCE_DESCRIPTION, TRANSPORT_FEEDBACK,
    VERSION,
};

/// The count field has five bits: more report blocks or SSRCs need another packet.
pub const MAX_COUNT: usize = 31;

/// The sender's part of a sender report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SenderInfo {
    pub ssrc: u32,
    /// 64-bit NTP time.
    pub ntp: u64,
    /// The media clock at `ntp`.
    pub rtp: u32,
    pub packets: u32,
    /// Payload bytes, without headers and padding.
    pub octets: u32,
}

/// Bytes written one after the other; `None` from the first that does not fit.
pub(in crate::rtp) struct Out<'a> {
    bytes: &'a mut [u8],
    pub(in crate::rtp) len: usize,
}

impl<'a> Out<'a> {
    /// Leaves room for the RTCP header, which [`Self::finish`] fills in.
    pub(in crate::rtp) fn new(bytes: &'a mut [u8]) -> Self {
        Self { bytes, len: 4 }
    }

    pub(in crate::rtp) fn put(&mut self, data: &[u8]) -> Option<()> {
        let end = self.len.wrapping_add(data.len());
        self.bytes.get_mut(self.len..end)?.copy_from_slice(data);
        self.len = end;
        Some(())
    }

    pub(in crate::rtp) fn put_u32(&mut self, value: u32) -> Option<()> {
        self.put(&value.to_be_bytes())
    }

    /// Writes the header over what was put, which must be whole words.
    pub(in crate::rtp) fn finish(self, packet_type: u8, count: usize, padded: bool) -> Option<usize> {
        let words = u16::try_from((self.len / 4).checked_sub(1)?).ok()?;
        let count = u8::try_from(count).ok().filter(|count| usize::from(*count) <= MAX_COUNT)?;
        let [w0, w1] = words.to_be_bytes();
        let first = (VERSION << 6) | (u8::from(padded) << 5) | count;
        *self.bytes.first_chunk_mut()? = [first, packet_type, w0, w1];
        Some(self.len)
    }
}

fn report_blocks(out: &mut Out<'_>, reports: &[ReportBlock]) -> Option<()> {
    for report in reports {
        let lost = report.cumulative_lost.clamp(-0x80_0000, 0x7f_ffff) as u32;
        out.put_u32(report.ssrc)?;
        out.put_u32((u32::from(report.fraction_lost) << 24) | (lost & 0xff_ffff))?;
        out.put_u32(report.highest_sequence)?;
        out.put_u32(report.jitter)?;
        out.put_u32(report.last_sr)?;
        out.put_u32(report.delay_since_last_sr)?;
    }
    Some(())
}

/// A sender report with up to [`MAX_COUNT`] blocks.
pub fn sender_report(out: &mut [u8], info: &SenderInfo, reports: &[ReportBlock]) -> Option<usize> {
    let mut out = Out::new(out);
    out.put_u32(info.ssrc)?;
    out.put(&info.ntp.to_be_bytes())?;
    out.put_u32(info.rtp)?;
    out.put_u32(info.packets)?;
    out.put_u32(info.octets)?;
    report_blocks(&mut out, reports)?;
    out.finish(SENDER_REPORT, reports.len(), false)
}

/// A receiver report with up to [`MAX_COUNT`] blocks; none is a valid beginning of a compound.
pub fn receiver_report(out: &mut [u8], ssrc: u32, reports: &[ReportBlock]) -> Option<usize> {
    let mut out = Out::new(out);
    out.put_u32(ssrc)?;
    report_blocks(&mut out, reports)?;
    out.finish(RECEIVER_REPORT, reports.len(), false)
}

/// A source description whose only item is the CNAME, of at most 255 bytes.
pub fn cname(out: &mut [u8], ssrc: u32, name: &str) -> Option<usize> {
    const CNAME: u8 = 1;
    let mut out = Out::new(out);
    out.put_u32(ssrc)?;
    out.put(&[CNAME, u8::try_from(name.len()).ok()?])?;
    out.put(name.as_bytes())?;
    // The list of items ends with at least one zero byte and fills its word.
    let zeros = 4_usize.wrapping_sub(out.len & 3);
    out.put([0; 4].get(..zeros)?)?;
    out.finish(SOURCE_DESCRIPTION, 1, false)
}

/// A goodbye from up to [`MAX_COUNT`] sources.
pub fn bye(out: &mut [u8], ssrcs: &[u32]) -> Option<usize> {
    let mut out = Out::new(out);
    for ssrc in ssrcs {
        out.put_u32(*ssrc)?;
    }
    out.finish(GOODBYE, ssrcs.len(), false)
}

/// A generic NACK for these sequence numbers of `media`, which must be in rising (wrapping) order; 17 neighbours
/// share four bytes.
pub fn nack(out: &mut [u8], sender: u32, media: u32, sequences: &[u16]) -> Option<usize> {
    let mut out = Out::new(out);
    out.put_u32(sender)?;
    out.put_u32(media)?;
    let mut rest = sequences.iter().copied().peekable();
    while let Some(first) = rest.next() {
        let mut bitmap = 0_u16;
        while let Some(sequence) = rest.next_if(|sequence| sequence.wrapping_sub(first) <= 16) {
            if let Some(bit) = sequence.wrapping_sub(first).checked_sub(1) {
                bitmap |= 1_u16.wrapping_shl(u32::from(bit));
            }
        }
        out.put_u32((u32::from(first) << 16) | u32::from(bitmap))?;
    }
    out.finish(TRANSPORT_FEEDBACK, usize::from(FORMAT_NACK), false)
}

/// A picture loss indication for `media`.
pub fn picture_loss(out: &mut [u8], sender: u32, media: u32) -> Option<usize> {
    let mut out = Out::new(out);
    out.put_u32(sender)?;
    out.put_u32(media)?;
    out.finish(PAYLOAD_FEEDBACK, usize::from(FORMAT_PLI), false)
}

/// A full intra request.
pub fn full_intra_request(out: &mut [u8], sender: u32, requests: &[FirRequest]) -> Option<usize> {
    let mut out = Out::new(out);
    out.put_u32(sender)?;
    out.put_u32(0)?;
    for request in requests {
        out.put_u32(request.ssrc)?;
        out.put_u32(u32::from(request.sequence) << 24)?;
    }
    out.finish(PAYLOAD_FEEDBACK, usize::from(FORMAT_FIR), false)
}

/// An extended report with this receiver's wall clock (64-bit NTP), so that it learns the round trip without
/// sending media.
pub fn receiver_reference_time(out: &mut [u8], ssrc: u32, ntp: u64) -> Option<usize> {
    let mut out = Out::new(out);
    out.put_u32(ssrc)?;
    out.put_u32((u32::from(BLOCK_RECEIVER_REFERENCE_TIME) << 24) | 2)?;
    out.put(&ntp.to_be_bytes())?;
    out.finish(EXTENDED_REPORT, 0, false)
}
