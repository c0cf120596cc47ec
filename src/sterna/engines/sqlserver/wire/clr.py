"""hierarchyid, geometry and geography, as [MS-SSCLRT] lays them out."""


def hierarchy_path(raw: bytes) -> str:
    return raw.hex()


def well_known_text(raw: bytes, *, geography: bool) -> str:
    return raw.hex()
