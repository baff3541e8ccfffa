//! Texts in columns, for the terminal.

/// The side of its column that a text stands at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Align {
    Left,
    Right,
}

/// Prints rows of texts so that their columns stand below each other.
#[derive(Clone, Debug)]
pub(crate) struct TablePrinter<'a> {
    /// What every line begins with.
    pub(crate) indent: &'a str,
    /// What stands between two columns.
    pub(crate) gap: &'a str,
    /// The side of each column, and how many characters it takes at least: a longer text moves what
    /// follows in its line. Texts beyond the last of them stand as they are.
    pub(crate) columns: &'a [(Align, usize)],
}

impl TablePrinter<'_> {
    /// One row. Spaces at its end stay.
    pub(crate) fn line<T: AsRef<str>>(&self, row: &[T]) -> String {
        let cell = |(place, text): (usize, &T)| {
            let text = text.as_ref();
            match self.columns.get(place) {
                Some((Align::Left, width)) => format!("{text:<width$}"),
                Some((Align::Right, width)) => format!("{text:>width$}"),
                None => text.to_owned(),
            }
        };
        let cells: Vec<String> = row.iter().enumerate().map(cell).collect();
        format!("{}{}", self.indent, cells.join(self.gap))
    }
}

/// Rows in columns as wide as their widest texts: the first to the left, the others to the right.
pub(crate) fn lines_of_grid(grid: &[Vec<String>]) -> Vec<String> {
    let count = grid.iter().map(Vec::len).max().unwrap_or(0);
    let width = |place: usize| {
        let texts = grid.iter().filter_map(|row| row.get(place));
        texts.map(|text| text.chars().count()).max().unwrap_or(0)
    };
    let column = |place| (if place == 0 { Align::Left } else { Align::Right }, width(place));
    let columns: Vec<_> = (0..count).map(column).collect();
    let printer = TablePrinter { indent: "", gap: "  ", columns: &columns };
    grid.iter().map(|row| printer.line(row).trim_end().to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_stand_at_their_sides_and_long_ones_move_the_rest() {
        let columns = [(Align::Left, 4), (Align::Right, 3)];
        let printer = TablePrinter { indent: "> ", gap: " ", columns: &columns };
        assert_eq!(printer.line(&["ab", "×", "rest"]), "> ab     × rest");
        assert_eq!(printer.line(&["abcde", "1"]), "> abcde   1");
        assert_eq!(printer.line(&["", ""]), ">         ");
    }

    #[test]
    fn a_grid_is_as_wide_as_its_texts() {
        let grid = [vec!["a", "1"], vec!["longer", "12", "x"], vec![""]];
        let grid = grid.map(|row| row.into_iter().map(str::to_owned).collect::<Vec<_>>());
        assert_eq!(lines_of_grid(&grid), ["a        1", "longer  12  x", ""]);
        assert!(lines_of_grid(&[]).is_empty());
    }
}
