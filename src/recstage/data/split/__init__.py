"""Cutting a data set into training, validation and test, all over the same id maps.

Every method comes down to two places in each user's events: where validation begins, and where the test begins. Where
nothing says what came first, the events of each user are put in an order drawn by the seed, and "last" means drawn. A
pair belongs to the part in which its first event falls, so that nothing a user already knows can be a test positive;
its weight counts the events inside that part only, so that training never knows of later ones. Dismissals are training
material and nothing else: those that fall after the cut are left out.
"""

from recstage.data.split.cutting import cut, method_of
from recstage.data.split.parts import PARTS, Split

__all__ = ["PARTS", "Split", "cut", "method_of"]
