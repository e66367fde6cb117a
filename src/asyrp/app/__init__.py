"""The page of `asyrp app`. All but `page` and `server` know nothing of Gradio."""
