//! The files of the pages, as `build.rs` has put them together.

/// One file, as it is and compressed.
#[derive(Debug)]
pub struct File {
    /// Its path under `ui/`.
    pub name: &'static str,
    pub kind: &'static str,
    pub plain: &'static [u8],
    pub gzip: &'static [u8],
}

include!(concat!(env!("OUT_DIR"), "/files.rs"));

/// The file of that name. Names are compared, no path is ever walked.
pub fn find(name: &str) -> Option<&'static File> {
    FILES.iter().find(|file| file.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::read::GzDecoder;
    use std::io::Read;

    #[test]
    fn compressed_files_hold_the_same() {
        for file in FILES {
            let mut plain = Vec::new();
            GzDecoder::new(file.gzip).read_to_end(&mut plain).unwrap();
            assert_eq!(plain, file.plain, "{}", file.name);
        }
    }

    #[test]
    fn the_first_visit_stays_small() {
        let sum: usize = FILES.iter().map(|file| file.gzip.len()).sum();
        assert!(sum < 150_000, "{sum} octets");
    }
}
