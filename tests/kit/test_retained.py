from tests.kit.retained import retained


class Leaf:
    pass


class Table:
    def __init__(self, leaves):
        self.rows = {number: (number, leaf) for number, leaf in enumerate(leaves)}


def test_everything_behind_an_object_is_found_once():
    leaf = Leaf()
    assert retained(Table([leaf, leaf, Leaf()]))["Leaf"] == 2


def test_rings_are_walked_once():
    leaf = Leaf()
    leaf.itself = leaf
    assert retained(leaf)["Leaf"] == 1


def test_code_is_left_out():
    assert sum(retained(Table([])).values()) < 10
