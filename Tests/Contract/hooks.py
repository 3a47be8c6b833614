"""What the schema can't say about bodies."""
import schemathesis


def written_whole(value):
    """The market takes whole numbers only as digits; to JSON Schema 60.0 is one as well."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, dict):
        return {key: written_whole(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [written_whole(inner) for inner in value]
    return value


@schemathesis.hook
def map_body(context, body):
    return written_whole(body)
