//! What the user wrote → `model::App`.
