//! Which of its forms a client wants an answer in.

use http::{HeaderMap, StatusCode, header};

use crate::status::{Answer, Refusal};

/// The form of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    Full,
    Table,
    /// `PartialObjectMetadata`, or a list of them.
    Metadata,
    /// Aggregated discovery.
    Discovery,
}

/// The form and the encoding of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) shape: Shape,
    pub(crate) yaml: bool,
}

impl Wanted {
    pub(crate) const JSON: Self = Self {
        shape: Shape::Full,
        yaml: false,
    };

    /// Picks the first form that is served, in the client's order of preference.
    pub(crate) fn read(headers: &HeaderMap) -> Answer<Self> {
        let accepts: Vec<&str> = headers
            .get_all(header::ACCEPT)
            .iter()
            .filter_map(|it| it.to_str().ok())
            .collect();
        let mut ranges: Vec<(f32, Self)> = Vec::new();
        let mut any = false;
        for range in accepts
            .iter()
            .flat_map(|it| it.split(','))
            .map(str::trim)
            .filter(|it| !it.is_empty())
        {
            any = true;
            ranges.extend(read_range(range));
        }
        if !any {
            return Ok(Self::JSON);
        }
        // Stable: among equals, the first wins.
        ranges.sort_by(|one, other| other.0.total_cmp(&one.0));
        ranges.first().map(|(_, wanted)| *wanted).ok_or_else(|| {
            Refusal::new(
                StatusCode::NOT_ACCEPTABLE,
                "NotAcceptable",
                "406: Not Acceptable\n\nAvailable representations: application/json, application/yaml, \
                 application/vnd.kubernetes.protobuf, application/json;stream=watch, \
                 application/vnd.kubernetes.protobuf;stream=watch",
            )
        })
    }
}

fn read_range(range: &str) -> Option<(f32, Wanted)> {
    let mut parts = range.split(';').map(str::trim);
    let yaml = match parts.next()? {
        "application/json" | "application/*" | "*/*" => false,
        "application/yaml" => true,
        _ => return None,
    };
    let (mut shape, mut quality, mut version) = (Shape::Full, 1.0, "");
    for parameter in parts {
        match parameter.split_once('=') {
            Some(("as", "Table")) => shape = Shape::Table,
            Some(("as", "PartialObjectMetadata" | "PartialObjectMetadataList")) => shape = Shape::Metadata,
            Some(("as", "APIGroupDiscoveryList")) => shape = Shape::Discovery,
            Some(("as", _)) => return None,
            Some(("v", wanted)) => version = wanted,
            Some(("q", wanted)) => quality = wanted.parse().unwrap_or(1.0),
            _ => {}
        }
    }
    let served = match shape {
        Shape::Full => true,
        Shape::Discovery => version == "v2",
        Shape::Table | Shape::Metadata => version == "v1",
    };
    served.then_some((quality, Wanted { shape, yaml }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_that_is_served_wins() {
        let shape = |accept: &str| {
            let headers = [(header::ACCEPT, accept.parse().unwrap())].into_iter().collect();
            Wanted::read(&headers).ok().map(|wanted| (wanted.shape, wanted.yaml))
        };
        let table = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json";
        assert_eq!(shape(table), Some((Shape::Table, false)));
        assert_eq!(
            shape("application/vnd.kubernetes.protobuf,application/json"),
            Some((Shape::Full, false))
        );
        assert_eq!(
            shape("application/json;q=0.8,application/yaml"),
            Some((Shape::Full, true))
        );
        assert_eq!(shape("application/vnd.kubernetes.protobuf"), None);
        assert_eq!(shape("*/*"), Some((Shape::Full, false)));
    }
}
