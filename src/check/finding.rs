//! What is found, and by which rule.

use std::fmt;

use crate::api::condition::Reason;

/// How grave a finding is. The gravest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Severity {
    /// It will be refused, or it will not work.
    Error,
    /// It may not be what is meant, or cannot be known from what is given.
    Warning,
    /// What the change will do. Nothing is wrong with it.
    Note,
}

impl Severity {
    /// The word that every format has for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Note => "note",
        }
    }
}

/// Declares the rules once, each with what it demands.
macro_rules! rules {
    ($($rule:ident: $demand:literal,)*) => {
        /// What a manifest can break. Those that a condition can report have the name of its reason.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Rule {
            $(#[doc = $demand] $rule,)*
        }

        impl Rule {
            /// Every rule there is, in their order.
            pub const ALL: &[Self] = &[$(Self::$rule),*];

            /// The rule's name.
            pub fn id(self) -> &'static str {
                match self {
                    $(Self::$rule => stringify!($rule),)*
                }
            }

            /// What it demands, in a sentence.
            pub fn demand(self) -> &'static str {
                match self {
                    $(Self::$rule => $demand,)*
                }
            }
        }
    };
}

rules! {
    Unreadable: "A file is YAML or JSON, and its documents are Kubernetes objects.",
    UnknownKind: "Objects of tokenwright.dev are of a kind and version that there is.",
    UnknownField: "Every field is one that the kind has.",
    InvalidField: "Every field is as the kind's schema demands.",
    InvalidSpec: "A spec can be acted on.",
    Duplicate: "An object is there once.",
    SecretConflict: "A Secret holds the token of one ApiToken.",
    NamespaceMissing: "An ApiToken says its namespace.",
    NamespaceUnknown: "The labels by which an organisation selects namespaces are known.",
    NamespaceNotFound: "The namespace of an ApiToken exists.",
    NamespaceNotAllowed: "An organisation allows the namespaces of its tokens.",
    OrganisationNotFound: "The organisation of an ApiToken exists, and so do those that a policy is for.",
    OrganisationSuspended: "The organisation of an ApiToken is not suspended.",
    RoleNotFound: "A role is one of the organisation's.",
    ProjectNotFound: "A project is one of the organisation's.",
    IpFilterNotFound: "An IP filter is one of the organisation's.",
    PermissionNotInCatalogue: "A permission is in the organisation's catalogue, if it has one.",
    NotAMember: "The user of a Personal token is a member of the organisation.",
    Expired: "The end of a token lies ahead.",
    PolicyViolation: "A token keeps to the policies that select it.",
    IssuanceDenied: "The policies that select a token let it be issued.",
    PolicyContradiction: "A token can meet all policies that select it.",
    Effect: "What a change of an organisation or a policy does to the tokens of the cluster is meant.",
}

impl Rule {
    /// The rule of a condition's reason.
    pub(super) fn of(reason: Reason) -> Self {
        match reason {
            Reason::MemberRemoved => Self::NotAMember,
            Reason::Idle => Self::PolicyViolation,
            _ => {
                let same = Self::ALL.iter().find(|rule| rule.id() == reason.as_str());
                same.copied().unwrap_or(Self::InvalidSpec)
            }
        }
    }
}

/// What an object is called.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name {
    /// Its kind.
    pub kind: String,
    /// Its namespace, where it has one and it is known.
    pub namespace: Option<String>,
    /// Its name.
    pub name: String,
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ", self.kind)?;
        if let Some(namespace) = &self.namespace {
            write!(f, "{namespace}/")?;
        }
        f.write_str(&self.name)
    }
}

/// Something that is found in a manifest. In the order of their places.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// The file's name.
    pub file: String,
    /// The line, counted from 1.
    pub line: u32,
    /// How grave it is.
    pub severity: Severity,
    /// What is broken.
    pub rule: Rule,
    /// Which object, if any can be read.
    pub object: Option<Name>,
    /// The path of the field, if it is one.
    pub field: Option<String>,
    /// What is wrong and what to write instead.
    pub message: String,
}

impl Finding {
    /// Object, message and field in one line.
    pub fn sentence(&self) -> String {
        let object = self
            .object
            .as_ref()
            .map(|object| format!("{object}: "))
            .unwrap_or_default();
        let field = self
            .field
            .as_ref()
            .map(|field| format!(" ({field})"))
            .unwrap_or_default();
        format!("{object}{}{field}", self.message)
    }
}
