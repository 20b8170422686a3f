// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {HashLock} from "../../src/HashLock.sol";
import {Test} from "./Test.sol";
import {MockToken} from "./Tokens.sol";

/// @notice A hash lock, a token, and who uses them.
abstract contract HashLockFixture is Test {
    uint256 internal constant START = 1_800_000_000;
    uint256 internal constant AMOUNT = 25_000_000;
    bytes32 internal constant SECRET = keccak256("secret");
    address internal constant COIN = address(0);

    HashLock internal hashLock;
    MockToken internal token;
    address internal alice;
    address internal bob;
    address internal carol;

    function _fixture() internal {
        vm.warp(START);
        (alice,) = _account("alice");
        (bob,) = _account("bob");
        (carol,) = _account("carol");
        hashLock = HashLock(_deploy("HashLock", ""));
        token = new MockToken();
        token.mint(alice, 1000 * AMOUNT);
        token.mint(bob, 1); // as most recipients: not the first of this token
        vm.deal(alice, 1000 ether);
        vm.prank(alice);
        token.approve(address(hashLock), type(uint256).max);
    }

    /// @dev Alice's money for Bob, for an hour.
    function _terms(address asset, bytes32 secret, uint256 salt)
        internal
        view
        returns (HashLock.Lock memory)
    {
        return HashLock.Lock({
            hash: sha256(abi.encode(secret)),
            token: asset,
            amount: AMOUNT,
            recipient: bob,
            refundTo: alice,
            deadline: uint48(block.timestamp + 1 hours),
            salt: bytes32(salt)
        });
    }

    function _lock(HashLock.Lock memory terms) internal returns (bytes32) {
        vm.prank(alice);
        return hashLock.lock{value: terms.token == COIN ? terms.amount : 0}(terms);
    }

    function _state(HashLock.Lock memory terms, HashLock.State want) internal view {
        _equal(uint256(hashLock.stateOf(hashLock.idOf(terms))), uint256(want), "state");
    }
}
