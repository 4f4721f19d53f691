use tachograph::LabelValue;

#[derive(Clone, Copy, LabelValue)]
struct Struct;

#[derive(Clone, Copy, LabelValue)]
enum WithFields {
    A,
    B(u8),
}

#[derive(Clone, Copy, LabelValue)]
enum Nothing {}

#[derive(Clone, Copy, LabelValue)]
enum Twice {
    A,
    #[label(rename = "a")]
    B,
}

#[derive(Clone, Copy, LabelValue)]
enum Empty {
    #[label(rename = "")]
    A,
}

#[derive(Clone, Copy, LabelValue)]
#[label(rename_all = "snakecase")]
enum Spelled {
    A,
}

#[derive(Clone, Copy, LabelValue)]
enum Unknown {
    #[label(name = "a")]
    A,
}

fn main() {}
