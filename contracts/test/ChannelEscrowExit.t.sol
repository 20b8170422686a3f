// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";

import {IChannelEscrow} from "../src/IChannelEscrow.sol";
import {ChannelEscrowFixture} from "./support/ChannelEscrowFixture.sol";
import {HookToken} from "./support/ChannelEscrowMocks.sol";

/// @notice Money out of channels: refunds, withdrawals, and what a token can try on the way.
contract ChannelEscrowExitTest is ChannelEscrowFixture {
    IChannelEscrow.ChannelConfig private _one;
    bytes32 private _id;
    uint256 private _start;

    function setUp() public override {
        super.setUp();
        _one = _config(0);
        _id = escrow.getChannelId(_one);
        _deposit(_one, DEPOSIT);
        _start = token.balanceOf(payer);
    }

    function test_refund_in_full_closes() public {
        vm.expectEmit(true, true, true, true, address(escrow));
        emit IChannelEscrow.Refunded(_id, receiver, DEPOSIT);
        vm.expectEmit(true, true, true, true, address(escrow));
        emit IChannelEscrow.ChannelClosed(_id, _one);
        vm.prank(receiver);
        escrow.refund(_one, DEPOSIT);
        _paid(DEPOSIT);
        _channel(_one, 0, 0);
        // And it can be opened again.
        vm.expectEmit(true, true, true, true, address(escrow));
        emit IChannelEscrow.ChannelCreated(_id, _one);
        _deposit(_one, 1);
    }

    function testFuzz_refund_is_what_is_not_claimed(uint128 claimed, uint128 asked) public {
        claimed = uint128(_within(claimed, 0, DEPOSIT));
        asked = uint128(_within(asked, 1, type(uint128).max));
        _claim(_row(_one, claimed));
        vm.prank(receiverAuthorizer);
        escrow.refund(_one, asked);
        uint256 available = DEPOSIT - claimed;
        uint256 given = asked < available ? asked : available;
        _paid(given);
        _channel(_one, DEPOSIT - given, claimed);
        _equal(escrow.refundNonce(_id), 1, "the nonce advances in any case");
    }

    function testFuzz_only_the_receivers_side_refunds(address caller) public {
        vm.assume(caller != receiver && caller != receiverAuthorizer);
        vm.prank(caller);
        vm.expectRevert(IChannelEscrow.NotAuthorizedToRefund.selector);
        escrow.refund(_one, 1);
    }

    function test_refuses_a_refund_of_nothing() public {
        vm.prank(receiver);
        vm.expectRevert(IChannelEscrow.ZeroRefund.selector);
        escrow.refund(_one, 0);
    }

    function test_signed_refund_pays_once() public {
        bytes memory signature = _sign(receiverAuthorizerKey, escrow.getRefundDigest(_id, 0, CLAIM));
        escrow.refundWithSignature(_one, CLAIM, 0, signature);
        _paid(CLAIM);
        vm.expectRevert(IChannelEscrow.InvalidRefundNonce.selector);
        escrow.refundWithSignature(_one, CLAIM, 0, signature);
        vm.expectRevert(IChannelEscrow.InvalidSignature.selector);
        escrow.refundWithSignature(_one, CLAIM, 1, signature);
    }

    function test_signed_refund_covers_channel_and_amount() public {
        bytes memory signature = _sign(receiverAuthorizerKey, escrow.getRefundDigest(_id, 0, CLAIM));
        vm.expectRevert(IChannelEscrow.InvalidSignature.selector);
        escrow.refundWithSignature(_one, CLAIM + 1, 0, signature);
        vm.expectRevert(IChannelEscrow.InvalidSignature.selector);
        escrow.refundWithSignature(_config("other"), CLAIM, 0, signature);
        bytes memory receivers = _sign(receiverKey, escrow.getRefundDigest(_id, 0, CLAIM));
        vm.expectRevert(IChannelEscrow.InvalidSignature.selector);
        escrow.refundWithSignature(_one, CLAIM, 0, receivers);
    }

    function test_a_refund_by_call_spends_signed_ones() public {
        bytes memory signature = _sign(receiverAuthorizerKey, escrow.getRefundDigest(_id, 0, CLAIM));
        vm.prank(receiver);
        escrow.refund(_one, 1);
        vm.expectRevert(IChannelEscrow.InvalidRefundNonce.selector);
        escrow.refundWithSignature(_one, CLAIM, 0, signature);
    }

    /// @dev What a facilitator does when an agent asks for its money back.
    function test_claim_and_refund_in_one_transaction() public {
        IChannelEscrow.VoucherClaim[] memory rows = _rows(_row(_one, CLAIM));
        bytes[] memory calls = new bytes[](2);
        calls[0] = abi.encodeCall(
            escrow.claimWithSignature, (rows, _sign(receiverAuthorizerKey, escrow.getClaimBatchDigest(rows)))
        );
        calls[1] = abi.encodeCall(
            escrow.refundWithSignature,
            (_one, DEPOSIT, 0, _sign(receiverAuthorizerKey, escrow.getRefundDigest(_id, 0, DEPOSIT)))
        );
        escrow.multicall(calls);
        _paid(DEPOSIT - CLAIM);
        _channel(_one, CLAIM, CLAIM);
    }

    function test_calls_in_one_transaction_stand_or_fall_together() public {
        bytes[] memory calls = new bytes[](2);
        calls[0] = abi.encodeCall(escrow.refund, (_one, CLAIM));
        calls[1] = abi.encodeCall(escrow.refund, (_one, 0));
        vm.prank(receiver);
        vm.expectRevert(IChannelEscrow.ZeroRefund.selector);
        escrow.multicall(calls);
        _paid(0);
    }

    function test_withdrawal_after_the_delay() public {
        vm.expectEmit(true, true, true, true, address(escrow));
        emit IChannelEscrow.WithdrawInitiated(_id, DEPOSIT, uint40(block.timestamp) + DELAY_S);
        _initiate(DEPOSIT);
        _pending(DEPOSIT, block.timestamp);

        vm.warp(block.timestamp + DELAY_S - 1);
        vm.prank(payer);
        vm.expectRevert(IChannelEscrow.WithdrawDelayNotElapsed.selector);
        escrow.finalizeWithdraw(_one);

        vm.warp(block.timestamp + 1);
        vm.expectEmit(true, true, true, true, address(escrow));
        emit IChannelEscrow.WithdrawFinalized(_id, payer, DEPOSIT);
        _finalize();
        _paid(DEPOSIT);
        _pending(0, 0);
        vm.prank(payer);
        vm.expectRevert(IChannelEscrow.WithdrawalNotPending.selector);
        escrow.finalizeWithdraw(_one);
    }

    function testFuzz_claims_go_first_until_the_end(uint128 claimed, uint128 asked) public {
        claimed = uint128(_within(claimed, 0, DEPOSIT));
        asked = uint128(_within(asked, 1, DEPOSIT));
        _initiate(asked);
        vm.warp(block.timestamp + DELAY_S);
        _claim(_row(_one, claimed));
        _finalize();
        uint256 left = DEPOSIT - claimed;
        _paid(asked < left ? asked : left);
        escrow.settle(receiver, address(token));
        _equal(token.balanceOf(receiver), claimed, "the receiver gets all it claimed");
    }

    function test_a_voucher_that_comes_too_late_is_refused() public {
        _initiate(DEPOSIT);
        vm.warp(block.timestamp + DELAY_S);
        _finalize();
        IChannelEscrow.VoucherClaim[] memory rows = _rows(_row(_one, CLAIM));
        vm.prank(receiver);
        vm.expectRevert(IChannelEscrow.ClaimExceedsBalance.selector);
        escrow.claim(rows);
    }

    function test_the_payer_authorizer_withdraws_to_the_payer() public {
        vm.prank(payerAuthorizer);
        escrow.initiateWithdraw(_one, DEPOSIT);
        vm.warp(block.timestamp + DELAY_S);
        vm.prank(payerAuthorizer);
        escrow.finalizeWithdraw(_one);
        _paid(DEPOSIT);
        _equal(token.balanceOf(payerAuthorizer), 0, "never to the authorizer");
    }

    function testFuzz_only_the_payers_side_withdraws(address caller) public {
        vm.assume(caller != payer && caller != payerAuthorizer);
        vm.prank(caller);
        vm.expectRevert(IChannelEscrow.NotAuthorizedToInitiateWithdraw.selector);
        escrow.initiateWithdraw(_one, 1);
        _initiate(1);
        vm.warp(block.timestamp + DELAY_S);
        vm.prank(caller);
        vm.expectRevert(IChannelEscrow.NotAuthorizedToFinalizeWithdraw.selector);
        escrow.finalizeWithdraw(_one);
    }

    /// @dev A zero payer authorizer lets nobody in.
    function test_zero_is_no_caller() public {
        IChannelEscrow.ChannelConfig memory config = _config("open");
        config.payerAuthorizer = address(0);
        _deposit(config, DEPOSIT);
        vm.expectRevert(IChannelEscrow.NotAuthorizedToInitiateWithdraw.selector);
        escrow.initiateWithdraw(config, 1);
    }

    function test_refuses_bad_withdrawals() public {
        vm.startPrank(payer);
        vm.expectRevert(IChannelEscrow.NothingToWithdraw.selector);
        escrow.initiateWithdraw(_one, 0);
        vm.expectRevert(IChannelEscrow.WithdrawAmountExceedsAvailable.selector);
        escrow.initiateWithdraw(_one, DEPOSIT + 1);
        escrow.initiateWithdraw(_one, 1);
        vm.expectRevert(IChannelEscrow.WithdrawalAlreadyPending.selector);
        escrow.initiateWithdraw(_one, 1);
        vm.stopPrank();
    }

    function test_a_refund_is_part_of_the_withdrawal() public {
        uint256 began = block.timestamp;
        _initiate(DEPOSIT);
        vm.prank(receiver);
        escrow.refund(_one, CLAIM);
        _pending(DEPOSIT - CLAIM, began);
        vm.prank(receiver);
        escrow.refund(_one, DEPOSIT);
        _pending(0, 0);
        _paid(DEPOSIT);
        vm.warp(block.timestamp + DELAY_S);
        vm.prank(payer);
        vm.expectRevert(IChannelEscrow.WithdrawalNotPending.selector);
        escrow.finalizeWithdraw(_one);
    }

    function test_a_withdrawal_keeps_the_refund_nonce() public {
        vm.prank(receiver);
        escrow.refund(_one, 1);
        _initiate(1);
        _equal(escrow.refundNonce(_id), 1, "while it is pending");
        vm.warp(block.timestamp + DELAY_S);
        _finalize();
        _equal(escrow.refundNonce(_id), 1, "and after it");
    }

    /// @dev A withdrawal of which claims took everything ends with nothing, and the next one can begin.
    function test_an_empty_withdrawal_ends() public {
        _initiate(DEPOSIT);
        _claim(_row(_one, DEPOSIT));
        vm.warp(block.timestamp + DELAY_S);
        _finalize();
        _paid(0);
        _deposit(_one, 1);
        _initiate(1);
    }

    function test_no_call_gets_in_while_a_token_moves() public {
        HookToken hook = new HookToken();
        hook.mint(payer, DEPOSIT);
        vm.prank(payer);
        hook.approve(address(escrow), DEPOSIT);
        IChannelEscrow.ChannelConfig memory config = _config(0);
        config.token = address(hook);
        // The token itself is on both sides, so that only the lock is in its way.
        config.receiverAuthorizer = address(hook);
        config.payerAuthorizer = address(hook);
        _deposit(config, DEPOSIT);
        _hooked(hook, config, abi.encodeCall(escrow.refund, (config, 1)));
        _hooked(hook, config, abi.encodeCall(escrow.refundWithSignature, (config, 1, 1, "")));
        _hooked(hook, config, abi.encodeCall(escrow.initiateWithdraw, (config, 1)));
        _hooked(hook, config, abi.encodeCall(escrow.finalizeWithdraw, (config)));
        _hooked(hook, config, abi.encodeCall(escrow.settle, (receiver, address(hook))));
        IChannelEscrow.VoucherClaim[] memory rows = _rows(_row(config, CLAIM));
        _hooked(hook, config, abi.encodeCall(escrow.claim, (rows)));
        _hooked(hook, config, abi.encodeCall(escrow.claimWithSignature, (rows, "")));
        _hooked(hook, config, abi.encodeCall(escrow.deposit, (config, 1, address(hook), "")));
        _equal(hook.calls(), 8, "every door was tried");
    }

    function _hooked(HookToken hook, IChannelEscrow.ChannelConfig memory config, bytes memory call) private {
        hook.arm(address(escrow), call);
        vm.prank(config.receiver);
        escrow.refund(config, 1);
        _equal(
            bytes32(hook.answer()),
            bytes32(ReentrancyGuardTransient.ReentrancyGuardReentrantCall.selector),
            "locked"
        );
    }

    function _initiate(uint128 amount) private {
        vm.prank(payer);
        escrow.initiateWithdraw(_one, amount);
    }

    function _finalize() private {
        vm.prank(payer);
        escrow.finalizeWithdraw(_one);
    }

    function _pending(uint256 amount, uint256 since) private view {
        (uint128 isAmount, uint40 isSince) = escrow.pendingWithdrawals(_id);
        _equal(isAmount, amount, "pending");
        _equal(isSince, since, "since");
    }

    function _paid(uint256 amount) private view {
        _equal(token.balanceOf(payer) - _start, amount, "the payer got back");
    }
}
