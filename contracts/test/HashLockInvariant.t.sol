// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {HashLock} from "../src/HashLock.sol";
import {HashLockFixture} from "./support/HashLockFixture.sol";

/// @notice Locks, claims, refunds, lets time pass, and keeps books beside the contract's.
contract HashLockHandler is HashLockFixture {
    HashLock.Lock[] public locks;
    bytes32[] public secrets;
    mapping(address asset => uint256) public lockedIn;
    mapping(address asset => uint256) public claimed;
    mapping(address asset => uint256) public refunded;
    mapping(bytes32 id => uint256) public paidOut;

    constructor() {
        _fixture();
    }

    function lock(bool coin, uint256 amount, uint256 window) external {
        if (locks.length == 40) return;
        bytes32 secret = keccak256(abi.encode(locks.length));
        HashLock.Lock memory terms = _terms(coin ? COIN : address(token), secret, locks.length);
        terms.amount = _within(amount, 1, 20 * AMOUNT);
        terms.deadline = uint48(block.timestamp + _within(window, 1, hashLock.WINDOW_MAX()));
        _lock(terms);
        lockedIn[terms.token] += terms.amount;
        locks.push(terms);
        secrets.push(secret);
    }

    function claim(uint256 which) external {
        if (locks.length == 0) return;
        which %= locks.length;
        try hashLock.claim(locks[which], secrets[which]) {
            _claimed(which);
        } catch {}
    }

    function claimWrongly(uint256 which, bytes32 guess) external {
        if (locks.length == 0) return;
        which %= locks.length;
        try hashLock.claim(locks[which], guess) {
            if (guess != secrets[which]) revert NotTrue("a wrong secret was taken");
            _claimed(which);
        } catch {}
    }

    function claimSome(uint256 from, uint256 count) external {
        if (locks.length == 0) return;
        from %= locks.length;
        count = _within(count, 0, locks.length - from);
        HashLock.Lock[] memory some = new HashLock.Lock[](count);
        bytes32[] memory known = new bytes32[](count);
        bool[] memory open = new bool[](count);
        for (uint256 i = 0; i < count; ++i) {
            (some[i], known[i]) = (locks[from + i], secrets[from + i]);
            open[i] = hashLock.stateOf(hashLock.idOf(some[i])) == HashLock.State.Open;
        }
        hashLock.claimMany(some, known);
        for (uint256 i = 0; i < count; ++i) {
            if (open[i]) _claimed(from + i);
        }
    }

    function refund(uint256 which) external {
        if (locks.length == 0) return;
        HashLock.Lock memory terms = locks[which % locks.length];
        try hashLock.refund(terms) {
            if (block.timestamp < terms.deadline) revert NotTrue("refunded before the deadline");
            refunded[terms.token] += terms.amount;
            ++paidOut[hashLock.idOf(terms)];
        } catch {}
    }

    function pass(uint256 time) external {
        vm.warp(block.timestamp + _within(time, 1, 10 days));
    }

    function size() external view returns (uint256) {
        return locks.length;
    }

    function termsAt(uint256 which) external view returns (HashLock.Lock memory) {
        return locks[which];
    }

    function contracts() external view returns (HashLock, address, address, address) {
        return (hashLock, address(token), alice, bob);
    }

    function held(address asset) external view returns (uint256) {
        return asset == COIN ? address(hashLock).balance : token.balanceOf(address(hashLock));
    }

    function _claimed(uint256 which) private {
        claimed[locks[which].token] += locks[which].amount;
        ++paidOut[hashLock.idOf(locks[which])];
    }
}

contract HashLockInvariantTest is HashLockFixture {
    HashLockHandler private _handler;
    address private _token;

    function setUp() external {
        _handler = new HashLockHandler();
        (hashLock, _token, alice, bob) = _handler.contracts();
        bytes4[] memory steps = new bytes4[](6);
        steps[0] = HashLockHandler.lock.selector;
        steps[1] = HashLockHandler.claim.selector;
        steps[2] = HashLockHandler.claimWrongly.selector;
        steps[3] = HashLockHandler.claimSome.selector;
        steps[4] = HashLockHandler.refund.selector;
        steps[5] = HashLockHandler.pass.selector;
        _target(address(_handler), steps);
    }

    function invariant_moneyInIsMoneyOutAndMoneyHeld() external view {
        address[2] memory assets = [COIN, _token];
        for (uint256 i = 0; i < 2; ++i) {
            uint256 out = _handler.claimed(assets[i]) + _handler.refunded(assets[i]);
            _equal(
                _handler.lockedIn(assets[i]), out + _handler.held(assets[i]), "in = claimed + refunded + held"
            );
        }
    }

    function invariant_noLockPaysTwice() external view {
        for (uint256 i = 0; i < _handler.size(); ++i) {
            bytes32 id = hashLock.idOf(_handler.termsAt(i));
            _true(_handler.paidOut(id) < 2, "paid twice");
            bool open = hashLock.stateOf(id) == HashLock.State.Open;
            _true(open == (_handler.paidOut(id) == 0), "open and paid");
        }
    }

    /// @dev Whatever happened before, past the last deadline everything that is held comes back.
    function afterInvariant() external {
        vm.warp(block.timestamp + hashLock.WINDOW_MAX());
        for (uint256 i = 0; i < _handler.size(); ++i) {
            HashLock.Lock memory terms = _handler.termsAt(i);
            if (hashLock.stateOf(hashLock.idOf(terms)) == HashLock.State.Open) hashLock.refund(terms);
        }
        _equal(_handler.held(COIN), 0, "coins kept for ever");
        _equal(_handler.held(_token), 0, "tokens kept for ever");
    }
}
