"""The order of the gallery: from the first edit to a direction of one's own."""

ORDER = (
    "edit_faces",
    "strengths",
    "sum_of_directions",
    "random_samples",
    "lpips_curves",
    "zero_direction",
    "own_direction",
)


class GalleryOrder:
    """Sort key of sphinx-gallery: scripts that are not in ORDER come last, by name."""

    def __init__(self, folder: str):
        self.folder = folder

    def __call__(self, filename: str) -> tuple[int, str]:
        """Place of a script."""
        name = filename.removesuffix(".py")
        return (ORDER.index(name) if name in ORDER else len(ORDER), name)
