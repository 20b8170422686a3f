// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ChannelEscrow} from "../../src/ChannelEscrow.sol";
import {IChannelEscrow} from "../../src/IChannelEscrow.sol";
import {Test} from "./Test.sol";
import {MockToken} from "./Tokens.sol";

/// @notice An escrow, a token, and the four parties of a channel with their keys.
abstract contract ChannelEscrowFixture is Test {
    uint40 internal constant DELAY_S = 1 hours;
    uint128 internal constant DEPOSIT = 1000e6;
    uint128 internal constant CLAIM = 100e6;

    ChannelEscrow internal escrow;
    MockToken internal token;

    address internal payer;
    uint256 internal payerKey;
    address internal payerAuthorizer;
    uint256 internal payerAuthorizerKey;
    address internal receiver;
    uint256 internal receiverKey;
    address internal receiverAuthorizer;
    uint256 internal receiverAuthorizerKey;

    function setUp() public virtual {
        vm.warp(1_800_000_000);
        (payer, payerKey) = _account("payer");
        (payerAuthorizer, payerAuthorizerKey) = _account("payer authorizer");
        (receiver, receiverKey) = _account("receiver");
        (receiverAuthorizer, receiverAuthorizerKey) = _account("receiver authorizer");
        escrow = ChannelEscrow(_deploy("ChannelEscrow", ""));
        token = new MockToken();
        token.mint(payer, 10_000_000e6);
        vm.prank(payer);
        token.approve(address(escrow), type(uint256).max);
    }

    function _config(bytes32 salt) internal view returns (IChannelEscrow.ChannelConfig memory) {
        return IChannelEscrow.ChannelConfig({
            payer: payer,
            payerAuthorizer: payerAuthorizer,
            receiver: receiver,
            receiverAuthorizer: receiverAuthorizer,
            token: address(token),
            withdrawDelay: DELAY_S,
            salt: salt
        });
    }

    function _deposit(IChannelEscrow.ChannelConfig memory config, uint128 amount) internal {
        vm.prank(config.payer);
        escrow.deposit(config, amount, address(0), "");
    }

    /// @dev A voucher of the payer authorizer's, all of it claimed.
    function _row(IChannelEscrow.ChannelConfig memory config, uint128 total)
        internal
        view
        returns (IChannelEscrow.VoucherClaim memory)
    {
        return _row(config, total, total, payerAuthorizerKey);
    }

    function _row(IChannelEscrow.ChannelConfig memory config, uint128 ceiling, uint128 total, uint256 key)
        internal
        view
        returns (IChannelEscrow.VoucherClaim memory)
    {
        bytes32 digest = escrow.getVoucherDigest(escrow.getChannelId(config), ceiling);
        return IChannelEscrow.VoucherClaim({
            voucher: IChannelEscrow.Voucher({channel: config, maxClaimableAmount: ceiling}),
            signature: _sign(key, digest),
            totalClaimed: total
        });
    }

    function _rows(IChannelEscrow.VoucherClaim memory row)
        internal
        pure
        returns (IChannelEscrow.VoucherClaim[] memory rows)
    {
        rows = new IChannelEscrow.VoucherClaim[](1);
        rows[0] = row;
    }

    function _claim(IChannelEscrow.VoucherClaim memory row) internal {
        vm.prank(row.voucher.channel.receiverAuthorizer);
        escrow.claim(_rows(row));
    }

    function _channel(IChannelEscrow.ChannelConfig memory config, uint256 balance, uint256 claimed)
        internal
        view
    {
        (uint128 isBalance, uint128 isClaimed) = escrow.channels(escrow.getChannelId(config));
        _equal(isBalance, balance, "balance");
        _equal(isClaimed, claimed, "claimed");
    }

    function _sign(uint256 key, bytes32 digest) internal pure returns (bytes memory) {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(key, digest);
        return abi.encodePacked(r, s, v);
    }
}
