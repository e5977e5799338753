//! Knows by their names the files to read in a folder, under a prefix or in an archive.

/// Extensions of tables.
const TABLES: [&str; 3] = [".csv", ".tsv", ".txt"];

/// Extensions of compressed tables, which follow one of `TABLES`.
const COMPRESSED: [&str; 3] = [".gz", ".zst", ".zip"];

/// Whether a file that is found in a folder, under a prefix or in an archive is a table: its name ends in
/// `.csv`, `.tsv` or `.txt`, and perhaps in `.gz`, `.zst` or `.zip` after that, in upper or lower case.
pub fn has_csv_extension(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let plain = COMPRESSED.iter().find_map(|extension| name.strip_suffix(extension)).unwrap_or(&name);
    TABLES.iter().any(|extension| plain.ends_with(extension))
}

/// Whether a path has a hidden part: one that begins with a dot, or `__MACOSX`, where macOS puts its own
/// files into archives.
pub fn is_hidden(path: &str) -> bool {
    let hidden = |part: &str| (part.starts_with('.') && part != "." && part != "..") || part == "__MACOSX";
    path.split('/').any(hidden)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_known_by_their_extension() {
        let check = |name, is| assert_eq!(has_csv_extension(name), is, "{name}");
        check("track_1.csv", true);
        check("a/b.c/track_1.TSV", true);
        check("track_1.txt.gz", true);
        check("track_1.csv.zst", true);
        check("track_1.csv.ZIP", true);
        check("in/a.txt", true);
        check("a.TSV", true);
        check("a.tsv.zst", true);
        check("a.txt.ZIP", true);
        check("a.zip!b.csv", true);
        check("track_1.zip", false);
        check("a", false);
        check("a.csv/b", false);
        check("a.json", false);
        check("a.csv.bz2", false);
        check("a.gz.csv.gz.gz", false);
        check("acsv", false);
        check("track_1.gz", false);
        check("track_1.csv.gz.gz", false);
        check("track_1.csv.bak", false);
        check("csv", false);
        check("", false);
    }

    #[test]
    fn a_hidden_part_hides_the_file() {
        let check = |path, is| assert_eq!(is_hidden(path), is, "{path}");
        check("a/b.csv", false);
        check("./a/../b.csv", false);
        check(".a.csv", true);
        check("a/.b/c.csv", true);
        check("__MACOSX/._a.csv", true);
        check("a/__MACOSX/a.csv", true);
    }
}
