use tachograph::{LabelSet, LabelValue};

#[derive(Clone, Copy, LabelValue)]
enum Method {
    Get,
}

#[derive(Clone, Copy, LabelSet)]
struct Tuple(Method);

#[derive(Clone, Copy, LabelSet)]
struct Reserved {
    le: Method,
}

#[derive(Clone, Copy, LabelSet)]
struct Invalid {
    #[label(rename = "http.method")]
    method: Method,
}

#[derive(Clone, Copy, LabelSet)]
struct Twice {
    a: Method,
    #[label(rename = "a")]
    b: Method,
}

#[derive(Clone, Copy, LabelSet)]
struct Generic<T> {
    a: T,
}

fn main() {}
