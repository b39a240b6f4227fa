//! Stories.

mod feed;
