// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {HashLock} from "../src/HashLock.sol";
import {HashLockFixture} from "./support/HashLockFixture.sol";
import {FeeToken, SilentToken} from "./support/Tokens.sol";
import {Address} from "@openzeppelin/contracts/utils/Address.sol";
import {Errors} from "@openzeppelin/contracts/utils/Errors.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";

/// @notice Takes coins and, while it is paid, tries to be paid again.
contract Greedy {
    HashLock private immutable HASH_LOCK;
    bytes private _again;
    bytes public refusal;

    constructor(HashLock hashLock) {
        HASH_LOCK = hashLock;
    }

    function plan(bytes calldata again) external {
        _again = again;
    }

    receive() external payable {
        (bool done, bytes memory answer) = address(HASH_LOCK).call(_again);
        if (!done) refusal = answer;
    }
}

/// @notice Calls back while it is transferred, before the money has arrived.
contract CallingToken is SilentToken {
    address private _target;
    bytes private _call;
    bytes public refusal;

    function plan(address target, bytes calldata call) external {
        (_target, _call) = (target, call);
    }

    function _afterMove() internal override {
        if (_target == address(0)) return;
        (bool done, bytes memory answer) = _target.call(_call);
        if (!done) refusal = answer;
    }
}

/// @notice Refuses coins.
contract Closed {}

contract HashLockTest is HashLockFixture {
    function setUp() external {
        _fixture();
    }

    function test_lockTakesTheMoneyAndSaysSo() external {
        HashLock.Lock memory terms = _terms(address(token), SECRET, 1);
        bytes32 id = keccak256(abi.encode(terms));
        vm.expectEmit(true, true, true, true, address(hashLock));
        emit HashLock.Locked(id, terms.hash, bob, terms);
        _equal(_lock(terms), id, "id");
        _state(terms, HashLock.State.Open);
        _equal(token.balanceOf(address(hashLock)), AMOUNT, "held");
    }

    function test_anyoneWithTheSecretPaysTheRecipient() external {
        for (uint256 i = 0; i < 2; ++i) {
            HashLock.Lock memory terms = _terms(i == 0 ? address(token) : COIN, SECRET, 1);
            bytes32 id = _lock(terms);
            uint256 before = _balance(terms.token, bob);
            vm.expectEmit(true, true, false, true, address(hashLock));
            emit HashLock.Claimed(id, terms.hash, SECRET);
            vm.prank(carol);
            hashLock.claim(terms, SECRET);
            _equal(_balance(terms.token, bob) - before, AMOUNT, "paid");
            _equal(_balance(terms.token, address(hashLock)), 0, "held");
            _state(terms, HashLock.State.Claimed);
        }
    }

    function test_theHashIsThatOfLightning() external {
        // SHA-256 of 32 zero bytes, as any other implementation gives it.
        HashLock.Lock memory terms = _terms(address(token), 0, 1);
        _equal(terms.hash, hex"66687aadf862bd776c8fc18b8e9f8e20089714856ee233b3902a591d0d5f2925", "SHA-256");
        _lock(terms);
        hashLock.claim(terms, 0);
    }

    function test_refundFromTheDeadlineOn() external {
        for (uint256 i = 0; i < 2; ++i) {
            HashLock.Lock memory terms = _terms(i == 0 ? address(token) : COIN, SECRET, 1);
            uint256 before = _balance(terms.token, alice);
            bytes32 id = _lock(terms);
            vm.warp(terms.deadline - 1);
            vm.expectRevert(abi.encodeWithSelector(HashLock.DeadlineAhead.selector, terms.deadline));
            hashLock.refund(terms);
            vm.warp(terms.deadline);
            vm.expectEmit(true, true, false, true, address(hashLock));
            emit HashLock.Refunded(id, terms.hash);
            vm.prank(carol);
            hashLock.refund(terms);
            _equal(_balance(terms.token, alice), before, "back");
            _state(terms, HashLock.State.Refunded);
        }
    }

    function test_aSecretStillPaysAfterTheDeadline() external {
        HashLock.Lock memory terms = _terms(address(token), SECRET, 1);
        _lock(terms);
        vm.warp(terms.deadline + 1 days);
        hashLock.claim(terms, SECRET);
        _expectNotOpen(terms, HashLock.State.Claimed);
        hashLock.refund(terms);
    }

    function test_nothingIsPaidTwice() external {
        HashLock.Lock memory terms = _terms(COIN, SECRET, 1);
        _lock(terms);
        _lock(_terms(COIN, SECRET, 2));
        hashLock.claim(terms, SECRET);
        _expectNotOpen(terms, HashLock.State.Claimed);
        hashLock.claim(terms, SECRET);
        vm.expectRevert(abi.encodeWithSelector(HashLock.LockExists.selector, hashLock.idOf(terms)));
        _lock(terms);
    }

    function test_otherTermsAreAnotherLock() external {
        HashLock.Lock memory terms = _terms(address(token), SECRET, 1);
        _lock(terms);
        HashLock.Lock memory forged = _terms(address(token), SECRET, 1);
        forged.recipient = carol;
        _expectNotOpen(forged, HashLock.State.None);
        hashLock.claim(forged, SECRET);
        forged = _terms(address(token), SECRET, 1);
        forged.amount += 1;
        _expectNotOpen(forged, HashLock.State.None);
        hashLock.claim(forged, SECRET);
        forged = _terms(address(token), SECRET, 1);
        forged.deadline = uint48(block.timestamp);
        _expectNotOpen(forged, HashLock.State.None);
        hashLock.refund(forged);
    }

    function test_aWrongSecretPaysNobody() external {
        HashLock.Lock memory terms = _terms(address(token), SECRET, 1);
        _lock(terms);
        vm.expectRevert(abi.encodeWithSelector(HashLock.PreimageWrong.selector, terms.hash));
        hashLock.claim(terms, keccak256("other"));
        vm.expectRevert(abi.encodeWithSelector(HashLock.PreimageWrong.selector, terms.hash));
        hashLock.claim(terms, terms.hash);
    }

    function test_termsThatCannotBeMeant() external {
        HashLock.Lock memory terms = _terms(address(token), SECRET, 1);
        terms.amount = 0;
        _expectTermsRefused(terms);
        terms = _terms(address(token), SECRET, 1);
        terms.recipient = address(0);
        _expectTermsRefused(terms);
        terms.recipient = address(hashLock);
        _expectTermsRefused(terms);
        terms = _terms(address(token), SECRET, 1);
        terms.refundTo = address(0);
        _expectTermsRefused(terms);
        terms.refundTo = address(hashLock);
        _expectTermsRefused(terms);
        _expectTermsRefused(_terms(carol, SECRET, 1)); // no contract there
    }

    function test_theDeadlineIsAheadButNotFar() external {
        HashLock.Lock memory terms = _terms(address(token), SECRET, 1);
        uint256 latest = block.timestamp + hashLock.WINDOW_MAX();
        terms.deadline = uint48(block.timestamp);
        vm.expectRevert(abi.encodeWithSelector(HashLock.DeadlineRefused.selector, terms.deadline, latest));
        _lock(terms);
        terms.deadline = uint48(latest + 1);
        vm.expectRevert(abi.encodeWithSelector(HashLock.DeadlineRefused.selector, terms.deadline, latest));
        _lock(terms);
        terms.deadline = uint48(latest);
        _lock(terms);
    }

    function test_exactlyTheAmountMustArrive() external {
        HashLock.Lock memory terms = _terms(COIN, SECRET, 1);
        vm.expectRevert(abi.encodeWithSelector(HashLock.AmountArrived.selector, AMOUNT - 1, AMOUNT));
        vm.prank(alice);
        hashLock.lock{value: AMOUNT - 1}(terms);
        vm.expectRevert(abi.encodeWithSelector(HashLock.AmountArrived.selector, AMOUNT + 1, AMOUNT));
        vm.prank(alice);
        hashLock.lock{value: AMOUNT + 1}(terms);
        terms = _terms(address(token), SECRET, 1);
        vm.expectRevert(abi.encodeWithSelector(HashLock.AmountArrived.selector, 1, 0));
        vm.prank(alice);
        hashLock.lock{value: 1}(terms);
    }

    function test_aTokenThatTakesAFeeIsRefused() external {
        FeeToken fee = new FeeToken();
        fee.mint(alice, AMOUNT);
        vm.prank(alice);
        fee.approve(address(hashLock), AMOUNT);
        HashLock.Lock memory terms = _terms(address(fee), SECRET, 1);
        vm.expectRevert(
            abi.encodeWithSelector(HashLock.AmountArrived.selector, AMOUNT - AMOUNT / 100, AMOUNT)
        );
        _lock(terms);
    }

    function test_aTokenThatAnswersNothingIsTaken() external {
        SilentToken silent = new SilentToken();
        silent.mint(alice, AMOUNT);
        vm.prank(alice);
        silent.approve(address(hashLock), AMOUNT);
        HashLock.Lock memory terms = _terms(address(silent), SECRET, 1);
        _lock(terms);
        hashLock.claim(terms, SECRET);
        _equal(silent.balanceOf(bob), AMOUNT, "paid");
    }

    function test_aRecipientCannotEnterAgain() external {
        Greedy greedy = new Greedy(hashLock);
        HashLock.Lock memory terms = _terms(COIN, SECRET, 1);
        terms.recipient = address(greedy);
        HashLock.Lock memory second = _terms(COIN, SECRET, 2);
        second.recipient = address(greedy);
        _lock(terms);
        _lock(second);
        greedy.plan(abi.encodeCall(HashLock.claim, (second, SECRET)));
        hashLock.claim(terms, SECRET);
        _equal(address(greedy).balance, AMOUNT, "paid once");
        _equal(
            bytes32(greedy.refusal()),
            bytes32(ReentrancyGuardTransient.ReentrancyGuardReentrantCall.selector),
            "refusal"
        );
        _state(second, HashLock.State.Open);
    }

    function test_aTokenCannotClaimBeforeItsMoneyIsIn() external {
        CallingToken calling = new CallingToken();
        calling.mint(alice, AMOUNT);
        vm.prank(alice);
        calling.approve(address(hashLock), AMOUNT);
        HashLock.Lock memory terms = _terms(address(calling), SECRET, 1);
        calling.plan(address(hashLock), abi.encodeCall(HashLock.claim, (terms, SECRET)));
        _lock(terms);
        _equal(
            bytes32(calling.refusal()),
            bytes32(ReentrancyGuardTransient.ReentrancyGuardReentrantCall.selector),
            "refusal"
        );
        _state(terms, HashLock.State.Open);
    }

    function test_aRecipientThatRefusesCoinsLeavesTheRefund() external {
        HashLock.Lock memory terms = _terms(COIN, SECRET, 1);
        terms.recipient = address(new Closed());
        _lock(terms);
        vm.expectRevert(Errors.FailedCall.selector);
        hashLock.claim(terms, SECRET);
        vm.warp(terms.deadline);
        hashLock.refund(terms);
        _equal(alice.balance, 1000 ether, "back");
    }

    function test_aBatchPaysEveryRecipientOnce() external {
        HashLock.Lock[] memory locks = new HashLock.Lock[](5);
        bytes32[] memory secrets = new bytes32[](5);
        for (uint256 i = 0; i < 5; ++i) {
            secrets[i] = bytes32(i);
            locks[i] = _terms(i < 3 ? address(token) : COIN, secrets[i], i);
            if (i == 2) locks[i].recipient = carol;
            _lock(locks[i]);
        }
        _equal(hashLock.claimMany(locks, secrets), 5, "claimed");
        _equal(token.balanceOf(bob), 1 + 2 * AMOUNT, "bob's tokens");
        _equal(token.balanceOf(carol), AMOUNT, "carol's tokens");
        _equal(bob.balance, 2 * AMOUNT, "bob's coins");
        _equal(hashLock.claimMany(locks, secrets), 0, "again");
        _equal(bob.balance, 2 * AMOUNT, "bob's coins, again");
    }

    function test_aBatchPassesOverWhatIsSettledAndRefusesWhatIsWrong() external {
        HashLock.Lock[] memory locks = new HashLock.Lock[](3);
        bytes32[] memory secrets = new bytes32[](3);
        for (uint256 i = 0; i < 3; ++i) {
            secrets[i] = bytes32(i + 1);
            locks[i] = _terms(address(token), secrets[i], i);
            if (i != 2) _lock(locks[i]);
        }
        hashLock.claim(locks[0], secrets[0]);
        _expectNotOpen(locks[2], HashLock.State.None);
        hashLock.claimMany(locks, secrets);
        _lock(locks[2]);
        secrets[2] = 0;
        vm.expectRevert(abi.encodeWithSelector(HashLock.PreimageWrong.selector, locks[2].hash));
        hashLock.claimMany(locks, secrets);
        secrets[2] = bytes32(uint256(3));
        vm.warp(locks[1].deadline);
        hashLock.refund(locks[1]);
        _equal(hashLock.claimMany(locks, secrets), 1, "claimed");
        _equal(token.balanceOf(bob), 1 + 2 * AMOUNT, "bob");
        _equal(token.balanceOf(address(hashLock)), 0, "held");
    }

    function test_aBatchHasOneSecretForEachLock() external {
        vm.expectRevert(abi.encodeWithSelector(HashLock.BatchUneven.selector, 1, 2));
        hashLock.claimMany(new HashLock.Lock[](1), new bytes32[](2));
        _equal(hashLock.claimMany(new HashLock.Lock[](0), new bytes32[](0)), 0, "nothing");
    }

    function testFuzz_onlyTheSecretClaims(bytes32 secret, bytes32 guess) external {
        HashLock.Lock memory terms = _terms(address(token), secret, 1);
        _lock(terms);
        if (guess != secret) {
            vm.expectRevert(abi.encodeWithSelector(HashLock.PreimageWrong.selector, terms.hash));
        }
        hashLock.claim(terms, guess);
        _equal(token.balanceOf(bob), guess == secret ? 1 + AMOUNT : 1, "bob");
    }

    function testFuzz_moneyGoesOneWay(uint256 amount, uint256 window, uint256 later, bool coin, bool claims)
        external
    {
        HashLock.Lock memory terms = _terms(coin ? COIN : address(token), SECRET, 1);
        terms.amount = _within(amount, 1, 1000 * AMOUNT);
        terms.deadline = uint48(block.timestamp + _within(window, 1, hashLock.WINDOW_MAX()));
        uint256 bobHad = _balance(terms.token, bob);
        uint256 aliceHad = _balance(terms.token, alice);
        _lock(terms);
        vm.warp(terms.deadline + _within(later, 0, 1000 days));
        if (claims) hashLock.claim(terms, SECRET);
        else hashLock.refund(terms);
        _equal(_balance(terms.token, bob), bobHad + (claims ? terms.amount : 0), "bob");
        _equal(_balance(terms.token, alice), aliceHad - (claims ? terms.amount : 0), "alice");
        _equal(_balance(terms.token, address(hashLock)), 0, "held");
    }

    function _balance(address asset, address account) private view returns (uint256) {
        return asset == COIN ? account.balance : token.balanceOf(account);
    }

    function _expectNotOpen(HashLock.Lock memory terms, HashLock.State state) private {
        vm.expectRevert(abi.encodeWithSelector(HashLock.LockNotOpen.selector, hashLock.idOf(terms), state));
    }

    function _expectTermsRefused(HashLock.Lock memory terms) private {
        vm.expectRevert(HashLock.TermsRefused.selector);
        vm.prank(alice);
        hashLock.lock(terms);
    }
}
